package bench;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/**
 * Without state stores: each task adds its batches to the sums in Postgres, in one transaction with their offsets;
 * records before the stored offset are skipped (idempotent consumer).
 */
public final class TransactionalPeer {
    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.fromEnvironment();
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(new PostgresStore.Builder("tables", settings, true));
        builder.stream(settings.topics(), Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .process(ToPostgres::new, "tables");
        Run.toTheEnd(settings, builder.build(), StreamsConfig.AT_LEAST_ONCE, null);
    }

    private static final class ToPostgres extends ContextualProcessor<String, byte[], Void, Void> {
        private final Map<String, Long> written = new HashMap<>();

        @Override
        public void process(Record<String, byte[]> message) {
            PostgresStore store = context().getStateStore("tables");
            RecordMetadata place = context().recordMetadata().orElseThrow();
            long nextOffset = written.computeIfAbsent(place.topic(),
                    topic -> store.nextOffset(topic, place.partition()));
            Order order = Order.parse(message.headers(), message.value());
            if (place.offset() < nextOffset || order == null) {
                return;
            }
            store.put(order);
            for (Order.Item item : order.items()) {
                Sales.Key key = new Sales.Key(item.productId(), order.day(), order.currency());
                store.add(key, Sales.of(item, order.cancelled()));
            }
            store.advance(place.topic(), place.partition(), place.offset() + 1);
            if (store.isFull()) {
                store.flushCache();
            }
        }
    }

    private TransactionalPeer() {}
}
