package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** An order or a cancellation. */
record Order(UUID event, OffsetDateTime time, boolean cancelled, String orderId, String memberId, String currency,
        List<Item> items) {

    record Item(String productId, long units, long totalMinor) {}

    private static final JsonFactory JSON = new JsonFactory();
    /** The namespace of event hashes. */
    private static final UUID NAMESPACE = new UUID(0x6a616e67626f5067L, 0x8f6f6576656e7473L);

    LocalDate day() {
        return time.toLocalDate();
    }

    /** Decodes a record; null for other events. */
    static Order parse(Headers headers, byte[] value) {
        String type = header(headers, "ce_type");
        boolean cancelled = type.equals("order-cancelled");
        if (!cancelled && !type.equals("order-completed")) {
            return null;
        }
        OffsetDateTime time = OffsetDateTime.parse(header(headers, "ce_time")).withOffsetSameInstant(ZoneOffset.UTC);
        UUID event = hash(header(headers, "ce_source") + '\u001f' + header(headers, "ce_id"));
        try (JsonParser json = JSON.createParser(value)) {
            return read(json, event, time, cancelled);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static Order read(JsonParser json, UUID event, OffsetDateTime time, boolean cancelled) throws IOException {
        String orderId = null;
        String memberId = null;
        String currency = null;
        List<Item> items = new ArrayList<>();
        json.nextToken();
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String field = json.currentName();
            json.nextToken();
            switch (field) {
                case "order_id" -> orderId = json.getText();
                case "member_id" -> memberId = json.getText();
                case "currency" -> currency = json.getText();
                case "items" -> {
                    while (json.nextToken() == JsonToken.START_OBJECT) {
                        items.add(readItem(json));
                    }
                }
                default -> json.skipChildren();
            }
        }
        return new Order(event, time, cancelled, orderId, memberId, currency, items);
    }

    private static Item readItem(JsonParser json) throws IOException {
        String productId = null;
        long units = 0;
        long totalMinor = 0;
        while (json.nextToken() == JsonToken.FIELD_NAME) {
            String field = json.currentName();
            json.nextToken();
            switch (field) {
                case "product_id" -> productId = json.getText();
                case "quantity" -> units = json.getLongValue();
                case "total_minor" -> totalMinor = json.getLongValue();
                default -> json.skipChildren();
            }
        }
        return new Item(productId, units, totalMinor);
    }

    private static String header(Headers headers, String name) {
        Header header = headers.lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }

    /** A UUID of version 5. */
    private static UUID hash(String name) {
        try {
            MessageDigest sha1 = MessageDigest.getInstance("SHA-1");
            sha1.update(ByteBuffer.allocate(16).putLong(NAMESPACE.getMostSignificantBits())
                    .putLong(NAMESPACE.getLeastSignificantBits()).array());
            ByteBuffer digest = ByteBuffer.wrap(sha1.digest(name.getBytes(StandardCharsets.UTF_8)));
            long high = digest.getLong() & 0xffffffffffff0fffL | 0x5000L;
            long low = digest.getLong() & 0x3fffffffffffffffL | 0x8000000000000000L;
            return new UUID(high, low);
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
    }
}
