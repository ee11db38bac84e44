"""The order tables of `analytics` by Quix Streams: facts inserted once, sums added up in Postgres.

A sink writes each partition's batch in one transaction with the offset it ends at; what was written before is skipped,
so that a batch that comes again changes nothing.
"""

import datetime
import os
import sys
import threading
import time
import uuid

import psycopg
from confluent_kafka import Consumer, TopicPartition
from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

NAMESPACE = uuid.UUID("6a616e67-626f-5067-8f6f-6576656e7473")
TOPICS = [f"{os.environ['JANGBOGO_NAMESPACE']}.{topic}" for topic in ("order-completed", "user-behavior")]
GROUP = os.environ["PEER_GROUP"]
KAFKA = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
LOOK_SECONDS = 0.05
# Messages, of about twenty lines each.
COMMIT_EVERY = int(os.environ.get("PEER_BATCH", "5000"))

INSERT_LINES = """
    INSERT INTO order_line (event, line, order_id, member_id, product_id, day, cancelled, units, total_minor, currency)
    SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::date[], %s::boolean[],
                         %s::bigint[], %s::bigint[], %s::text[])
    ON CONFLICT DO NOTHING"""
INSERT_ORDERS = """
    INSERT INTO member_order (event, member_id, ordered_at, hour, units, value_minor, currency)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bigint[],
                         %s::text[])
    ON CONFLICT DO NOTHING"""
ADD_SALES = """
    INSERT INTO product_sales AS s (product_id, day, currency, sold_units, sold_minor, cancelled_units, cancelled_minor)
    SELECT * FROM unnest(%s::text[], %s::date[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    ON CONFLICT (product_id, day, currency) DO UPDATE
    SET sold_units = s.sold_units + excluded.sold_units, sold_minor = s.sold_minor + excluded.sold_minor,
        cancelled_units = s.cancelled_units + excluded.cancelled_units,
        cancelled_minor = s.cancelled_minor + excluded.cancelled_minor"""
ADVANCE = """
    INSERT INTO peer_offset (topic_partition, next_offset) VALUES (%s, %s)
    ON CONFLICT (topic_partition) DO UPDATE SET next_offset = excluded.next_offset"""


def connect() -> psycopg.Connection:
    options = f"-c search_path={os.environ['PEER_SCHEMA']}"
    connection = psycopg.connect(os.environ["POSTGRES_URL"], dbname=os.environ["PEER_DATABASE"], options=options)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS peer_offset (topic_partition text PRIMARY KEY, next_offset bigint NOT NULL)"
    )
    connection.commit()
    return connection


class PostgresSink(BatchingSink):
    def setup(self) -> None:
        self.connection = connect()

    def write(self, batch: SinkBatch) -> None:
        place = f"{batch.topic}/{batch.partition}"
        written = self.connection.execute("SELECT next_offset FROM peer_offset WHERE topic_partition = %s", [place])
        row = written.fetchone()
        next_offset = row[0] if row else 0
        lines = [[] for _ in range(10)]
        orders = [[] for _ in range(7)]
        sales: dict[tuple[str, datetime.date, str], list[int]] = {}
        last_offset = None
        for item in batch:
            last_offset = item.offset
            if item.offset >= next_offset:
                collect(item, lines, orders, sales)
        if lines[0]:
            self.connection.execute(INSERT_LINES, lines)
        if orders[0]:
            self.connection.execute(INSERT_ORDERS, orders)
        if sales:
            rows = [key + tuple(sums) for key, sums in sales.items()]
            self.connection.execute(ADD_SALES, [list(column) for column in zip(*rows)])
        if last_offset is not None:
            self.connection.execute(ADVANCE, [place, last_offset + 1])
        self.connection.commit()


def collect(item, lines, orders, sales) -> None:
    """Appends an order's rows, column by column, and adds up its lines."""
    headers = dict(item.headers)
    cancelled = headers["ce_type"] == b"order-cancelled"
    event = uuid.uuid5(NAMESPACE, f"{headers['ce_source'].decode()}\x1f{headers['ce_id'].decode()}")
    happened = datetime.datetime.fromisoformat(headers["ce_time"].decode())
    order, day = item.value, happened.date()
    order_id, member_id, currency = order.get("order_id"), order.get("member_id"), order["currency"]
    events, numbers, order_ids, member_ids, product_ids, days, cancels, units, totals, currencies = lines
    first = 2 if cancelled else 0
    for number, line in enumerate(order["items"]):
        product_id, quantity, total = line["product_id"], line["quantity"], line["total_minor"]
        events.append(event)
        numbers.append(number)
        order_ids.append(order_id)
        member_ids.append(member_id)
        product_ids.append(product_id)
        days.append(day)
        cancels.append(cancelled)
        units.append(quantity)
        totals.append(total)
        currencies.append(currency)
        key = (product_id, day, currency)
        sums = sales.get(key)
        if sums is None:
            sums = sales[key] = [0, 0, 0, 0]
        sums[first] += quantity
        sums[first + 1] += total
    if member_id is not None and not cancelled:
        items = order["items"]
        values = (
            event,
            member_id,
            happened,
            happened.hour,
            sum(line["quantity"] for line in items),
            sum(line["total_minor"] for line in items),
            currency,
        )
        for column, value in zip(orders, values):
            column.append(value)


def is_order(value, key, timestamp, headers) -> bool:
    return any(name == "ce_type" and kind in (b"order-completed", b"order-cancelled") for name, kind in headers)


def exit_at_the_end() -> None:
    """Ends the process once its group has committed all that is in its topics."""
    consumer = Consumer({"bootstrap.servers": KAFKA, "group.id": GROUP, "enable.auto.commit": False})
    ends = {}
    for topic in TOPICS:
        for partition in consumer.list_topics(topic).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition))
            if end > 0:
                ends[topic, partition] = end
    while True:
        committed = consumer.committed([TopicPartition(topic, partition) for topic, partition in ends])
        if all(found.offset >= ends[found.topic, found.partition] for found in committed):
            # All is committed: there is nothing to wait for.
            os._exit(0)
        time.sleep(LOOK_SECONDS)


def main() -> None:
    application = Application(
        broker_address=KAFKA,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        commit_interval=1.0,
        commit_every=COMMIT_EVERY,
        loglevel="WARNING",
        consumer_extra_config={"fetch.min.bytes": 1, "queued.max.messages.kbytes": 65536},
        consumer_poll_timeout=0.1,
        # Nothing is kept in state: sums are in Postgres.
        use_changelog_topics=False,
    )
    sink = PostgresSink()
    for topic in TOPICS:
        stream = application.dataframe(application.topic(topic, key_deserializer="str", value_deserializer="json"))
        stream.filter(is_order, metadata=True).sink(sink)
    threading.Thread(target=exit_at_the_end, daemon=True).start()
    application.run()


if __name__ == "__main__":
    sys.exit(main())
