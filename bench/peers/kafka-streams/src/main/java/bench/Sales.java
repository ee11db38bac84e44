package bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Units and money of a product on a day. */
record Sales(long soldUnits, long soldMinor, long cancelledUnits, long cancelledMinor) {

    static final Sales NONE = new Sales(0, 0, 0, 0);

    record Key(String productId, LocalDate day, String currency) implements Comparable<Key> {
        @Override
        public int compareTo(Key other) {
            int products = productId.compareTo(other.productId);
            if (products != 0) {
                return products;
            }
            int days = day.compareTo(other.day);
            return days != 0 ? days : currency.compareTo(other.currency);
        }
    }

    static Sales of(Order.Item item, boolean cancelled) {
        return cancelled ? new Sales(0, 0, item.units(), item.totalMinor())
                : new Sales(item.units(), item.totalMinor(), 0, 0);
    }

    Sales plus(Sales other) {
        return new Sales(soldUnits + other.soldUnits, soldMinor + other.soldMinor,
                cancelledUnits + other.cancelledUnits, cancelledMinor + other.cancelledMinor);
    }

    static Serde<Key> keySerde() {
        return Serdes.serdeFrom(
                (topic, key) -> (key.productId + '\n' + key.day.toEpochDay() + '\n' + key.currency)
                        .getBytes(StandardCharsets.UTF_8),
                (topic, bytes) -> {
                    String[] parts = new String(bytes, StandardCharsets.UTF_8).split("\n");
                    return new Key(parts[0], LocalDate.ofEpochDay(Long.parseLong(parts[1])), parts[2]);
                });
    }

    static Serde<Sales> serde() {
        return Serdes.serdeFrom(
                (topic, sales) -> sales == null ? null : ByteBuffer.allocate(32).putLong(sales.soldUnits)
                        .putLong(sales.soldMinor).putLong(sales.cancelledUnits).putLong(sales.cancelledMinor).array(),
                (topic, bytes) -> {
                    if (bytes == null) {
                        return null;
                    }
                    ByteBuffer buffer = ByteBuffer.wrap(bytes);
                    return new Sales(buffer.getLong(), buffer.getLong(), buffer.getLong(), buffer.getLong());
                });
    }
}
