package bench;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.streams.processor.ProcessorContext;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.internals.CacheFlushListener;
import org.apache.kafka.streams.state.internals.CachedStateStore;

/**
 * Write-behind cache of a task's rows for Postgres. Streams flushes its caches before it commits offsets, so that no
 * offset is committed before its rows.
 */
final class PostgresStore implements StateStore, CachedStateStore<Object, Object> {
    /** Number of rows after which the cache is flushed before a commit. */
    private static final int MAX_ROWS = Integer.parseInt(System.getenv().getOrDefault("PEER_BATCH", "20000"));

    private final String name;
    private final Settings settings;
    private final boolean addsUp;
    private final List<Order> orders = new ArrayList<>();
    private final Map<Sales.Key, Sales> sales = new HashMap<>();
    private final Map<String, Long> nextOffsets = new HashMap<>();
    private int rows;
    private Connection connection;
    private PreparedStatement insertLine;
    private PreparedStatement insertOrder;
    private PreparedStatement upsertSales;
    private PreparedStatement upsertOffset;

    /** True if sums are added to those in the table, with their offsets; false if they replace them. */
    PostgresStore(String name, Settings settings, boolean addsUp) {
        this.name = name;
        this.settings = settings;
        this.addsUp = addsUp;
    }

    /** Writes the lines of an order and, if a member's, the order. */
    void put(Order order) {
        orders.add(order);
        rows += order.items().size();
    }

    /** Replaces the sums of a product's day. */
    void replace(Sales.Key key, Sales value) {
        sales.put(key, value);
        rows++;
    }

    /** Adds to the sums of a product's day. */
    void add(Sales.Key key, Sales value) {
        sales.merge(key, value, Sales::plus);
    }

    /** Records the offset before which all records were put and added. */
    void advance(String topic, int partition, long nextOffset) {
        nextOffsets.put(topic + "/" + partition, nextOffset);
    }

    boolean isFull() {
        return rows >= MAX_ROWS;
    }

    /** Next offset of a partition: the records before are in the tables. */
    long nextOffset(String topic, int partition) {
        try (PreparedStatement select = connection.prepareStatement(
                "SELECT next_offset FROM peer_offset WHERE topic_partition = ?")) {
            select.setString(1, topic + "/" + partition);
            try (ResultSet found = select.executeQuery()) {
                return found.next() ? found.getLong(1) : 0;
            }
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public void flushCache() {
        if (rows == 0) {
            return;
        }
        try {
            writeOrders();
            writeSales();
            writeOffsets();
            connection.commit();
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
        orders.clear();
        sales.clear();
        nextOffsets.clear();
        rows = 0;
    }

    private void writeOrders() throws SQLException {
        for (Order order : orders) {
            int line = 0;
            for (Order.Item item : order.items()) {
                insertLine.setObject(1, order.event());
                insertLine.setLong(2, line++);
                insertLine.setString(3, order.orderId());
                insertLine.setString(4, order.memberId());
                insertLine.setString(5, item.productId());
                insertLine.setObject(6, order.day());
                insertLine.setBoolean(7, order.cancelled());
                insertLine.setLong(8, item.units());
                insertLine.setLong(9, item.totalMinor());
                insertLine.setString(10, order.currency());
                insertLine.addBatch();
            }
            if (order.memberId() != null && !order.cancelled()) {
                insertOrder.setObject(1, order.event());
                insertOrder.setString(2, order.memberId());
                insertOrder.setObject(3, order.time());
                insertOrder.setLong(4, order.time().getHour());
                insertOrder.setLong(5, order.items().stream().mapToLong(Order.Item::units).sum());
                insertOrder.setLong(6, order.items().stream().mapToLong(Order.Item::totalMinor).sum());
                insertOrder.setString(7, order.currency());
                insertOrder.addBatch();
            }
        }
        insertLine.executeBatch();
        insertOrder.executeBatch();
    }

    /** In the order of keys, so that tasks that write the same rows do not deadlock. */
    private void writeSales() throws SQLException {
        for (Map.Entry<Sales.Key, Sales> entry : new TreeMap<>(sales).entrySet()) {
            upsertSales.setString(1, entry.getKey().productId());
            upsertSales.setObject(2, entry.getKey().day());
            upsertSales.setString(3, entry.getKey().currency());
            upsertSales.setLong(4, entry.getValue().soldUnits());
            upsertSales.setLong(5, entry.getValue().soldMinor());
            upsertSales.setLong(6, entry.getValue().cancelledUnits());
            upsertSales.setLong(7, entry.getValue().cancelledMinor());
            upsertSales.addBatch();
        }
        upsertSales.executeBatch();
    }

    private void writeOffsets() throws SQLException {
        for (Map.Entry<String, Long> entry : nextOffsets.entrySet()) {
            upsertOffset.setString(1, entry.getKey());
            upsertOffset.setLong(2, entry.getValue());
            upsertOffset.addBatch();
        }
        upsertOffset.executeBatch();
    }

    @Deprecated
    @Override
    public void init(ProcessorContext context, StateStore root) {
        throw new UnsupportedOperationException("Streams calls the other one");
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
        try {
            connection = DriverManager.getConnection(settings.jdbcUrl(), settings.user(), settings.password());
            connection.setAutoCommit(false);
            insertLine = connection.prepareStatement("INSERT INTO order_line (event, line, order_id, member_id,"
                    + " product_id, day, cancelled, units, total_minor, currency)"
                    + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
            insertOrder = connection.prepareStatement("INSERT INTO member_order (event, member_id, ordered_at, hour,"
                    + " units, value_minor, currency) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING");
            upsertSales = connection.prepareStatement("INSERT INTO product_sales AS s (product_id, day, currency,"
                    + " sold_units, sold_minor, cancelled_units, cancelled_minor) VALUES (?, ?, ?, ?, ?, ?, ?)"
                    + " ON CONFLICT (product_id, day, currency) DO UPDATE SET " + (addsUp
                            ? "sold_units = s.sold_units + excluded.sold_units,"
                            + " sold_minor = s.sold_minor + excluded.sold_minor,"
                            + " cancelled_units = s.cancelled_units + excluded.cancelled_units,"
                            + " cancelled_minor = s.cancelled_minor + excluded.cancelled_minor"
                            : "sold_units = excluded.sold_units, sold_minor = excluded.sold_minor,"
                            + " cancelled_units = excluded.cancelled_units,"
                            + " cancelled_minor = excluded.cancelled_minor"));
            upsertOffset = connection.prepareStatement("INSERT INTO peer_offset (topic_partition, next_offset)"
                    + " VALUES (?, ?) ON CONFLICT (topic_partition) DO UPDATE SET next_offset = excluded.next_offset");
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
        context.register(root, (key, value) -> {});
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public void flush() {
        flushCache();
    }

    @Override
    public void close() {
        try {
            connection.close();
        } catch (SQLException error) {
            throw new IllegalStateException(error);
        }
    }

    @Override
    public boolean persistent() {
        return false;
    }

    @Override
    public boolean isOpen() {
        return connection != null;
    }

    @Override
    public boolean setFlushListener(CacheFlushListener<Object, Object> listener, boolean sendOldValues) {
        return false;
    }

    @Override
    public void clearCache() {
        orders.clear();
        sales.clear();
        nextOffsets.clear();
        rows = 0;
    }

    /** Builder of a task's store. */
    record Builder(String name, Settings settings, boolean addsUp) implements StoreBuilder<PostgresStore> {
        @Override
        public PostgresStore build() {
            return new PostgresStore(name, settings, addsUp);
        }

        @Override
        public StoreBuilder<PostgresStore> withCachingEnabled() {
            return this;
        }

        @Override
        public StoreBuilder<PostgresStore> withCachingDisabled() {
            return this;
        }

        @Override
        public StoreBuilder<PostgresStore> withLoggingEnabled(Map<String, String> config) {
            throw new UnsupportedOperationException("Postgres needs no changelog");
        }

        @Override
        public StoreBuilder<PostgresStore> withLoggingDisabled() {
            return this;
        }

        @Override
        public Map<String, String> logConfig() {
            return Map.of();
        }

        @Override
        public boolean loggingEnabled() {
            return false;
        }
    }
}
