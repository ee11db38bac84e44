package bench;

import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * With the DSL: lines are grouped by product and day through a repartition topic, summed in state stores
 * with exactly-once, and the totals replace those in Postgres.
 */
public final class GroupedPeer {
    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.fromEnvironment();
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Order> orders = builder
                .stream(settings.topics(), Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .process(Parsing::new);

        builder.addStateStore(new PostgresStore.Builder("facts", settings, false));
        orders.process(FactsToPostgres::new, "facts");

        builder.addStateStore(new PostgresStore.Builder("sums", settings, false));
        orders.flatMap((key, order) -> lines(order))
                .groupByKey(Grouped.<Sales.Key, Sales>as("sales").withKeySerde(Sales.keySerde())
                        .withValueSerde(Sales.serde()))
                .aggregate(() -> Sales.NONE, (key, line, sum) -> sum.plus(line),
                        Materialized.<Sales.Key, Sales, KeyValueStore<Bytes, byte[]>>as("sales")
                                .withKeySerde(Sales.keySerde()).withValueSerde(Sales.serde()))
                .toStream()
                .process(SumsToPostgres::new, "sums");

        Run.toTheEnd(settings, builder.build(), StreamsConfig.EXACTLY_ONCE_V2, "-sales-repartition");
    }

    private static List<KeyValue<Sales.Key, Sales>> lines(Order order) {
        List<KeyValue<Sales.Key, Sales>> lines = new ArrayList<>(order.items().size());
        for (Order.Item item : order.items()) {
            Sales.Key key = new Sales.Key(item.productId(), order.day(), order.currency());
            lines.add(KeyValue.pair(key, Sales.of(item, order.cancelled())));
        }
        return lines;
    }

    /** Decodes orders and skips other events. */
    private static final class Parsing extends ContextualProcessor<String, byte[], String, Order> {
        @Override
        public void process(Record<String, byte[]> message) {
            Order order = Order.parse(message.headers(), message.value());
            if (order != null) {
                context().forward(message.withValue(order).withHeaders(null));
            }
        }
    }

    private static final class FactsToPostgres extends ContextualProcessor<String, Order, Void, Void> {
        @Override
        public void process(Record<String, Order> message) {
            PostgresStore store = context().getStateStore("facts");
            store.put(message.value());
            if (store.isFull()) {
                store.flushCache();
            }
        }
    }

    private static final class SumsToPostgres extends ContextualProcessor<Sales.Key, Sales, Void, Void> {
        @Override
        public void process(Record<Sales.Key, Sales> message) {
            PostgresStore store = context().getStateStore("sums");
            store.replace(message.key(), message.value());
            if (store.isFull()) {
                store.flushCache();
            }
        }
    }

    private GroupedPeer() {}
}
