"""The order tables of `analytics` by Quix Streams: facts inserted once, sums added up in Postgres.

A sink writes each partition's batch in one transaction with the offset it ends at; what was written before is skipped,
so that a batch that comes again changes nothing.
"""

import datetime
import os
import subprocess
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
# Number of group members: a Python process uses one processor core.
PROCESSES = int(os.environ.get("PEER_PROCESSES", "2"))
# Messages per batch, of about twenty lines each.
COMMIT_EVERY = int(os.environ.get("PEER_BATCH", "5000"))

# Rows are loaded by COPY, the fastest way into Postgres, and then merged.
INCOMING = """
    CREATE TEMPORARY TABLE incoming_{0} (LIKE {0}) ON COMMIT DELETE ROWS"""
INSERT = """
    INSERT INTO {0} SELECT * FROM incoming_{0} ON CONFLICT DO NOTHING"""
ADD_SALES = """
    INSERT INTO product_sales AS s SELECT * FROM incoming_product_sales ORDER BY product_id, day, currency
    ON CONFLICT (product_id, day, currency) DO UPDATE
    SET sold_units = s.sold_units + excluded.sold_units, sold_minor = s.sold_minor + excluded.sold_minor,
        cancelled_units = s.cancelled_units + excluded.cancelled_units,
        cancelled_minor = s.cancelled_minor + excluded.cancelled_minor"""
ADVANCE = """
    INSERT INTO peer_offset (topic_partition, next_offset) VALUES (%s, %s)
    ON CONFLICT (topic_partition) DO UPDATE SET next_offset = excluded.next_offset"""


def connect() -> psycopg.Connection:
    options = f"-c search_path={os.environ['PEER_SCHEMA']}"
    return psycopg.connect(os.environ["POSTGRES_URL"], dbname=os.environ["PEER_DATABASE"], options=options)


class PostgresSink(BatchingSink):
    def setup(self) -> None:
        self.connection = connect()
        for table in ("order_line", "member_order", "product_sales"):
            self.connection.execute(INCOMING.format(table))
        self.connection.commit()

    def write(self, batch: SinkBatch) -> None:
        place = f"{batch.topic}/{batch.partition}"
        written = self.connection.execute("SELECT next_offset FROM peer_offset WHERE topic_partition = %s", [place])
        row = written.fetchone()
        next_offset = row[0] if row else 0
        lines, orders = [], []
        sales: dict[tuple[str, str, str], list[int]] = {}
        last_offset = next_offset - 1
        for item in batch:
            last_offset = item.offset
            if item.offset >= next_offset:
                collect(item, lines, orders, sales)
        self.copy("order_line", lines)
        self.copy("member_order", orders)
        self.copy("product_sales", [key + tuple(sums) for key, sums in sales.items()])
        self.connection.execute(INSERT.format("order_line"))
        self.connection.execute(INSERT.format("member_order"))
        # In the order of keys, so that processes that write the same rows do not deadlock.
        self.connection.execute(ADD_SALES)
        self.connection.execute(ADVANCE, [place, last_offset + 1])
        self.connection.commit()

    def copy(self, table: str, rows: list[tuple]) -> None:
        with self.connection.cursor().copy(f"COPY incoming_{table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


def collect(item, lines: list[tuple], orders: list[tuple], sales: dict) -> None:
    """Appends an order's rows and adds its lines to the sums."""
    headers = dict(item.headers)
    cancelled = headers["ce_type"] == b"order-cancelled"
    event = str(uuid.uuid5(NAMESPACE, f"{headers['ce_source'].decode()}\x1f{headers['ce_id'].decode()}"))
    happened = datetime.datetime.fromisoformat(headers["ce_time"].decode())
    order, day = item.value, happened.date().isoformat()
    order_id, member_id, currency = order.get("order_id"), order.get("member_id"), order["currency"]
    first = 2 if cancelled else 0
    all_units = all_totals = 0
    for number, line in enumerate(order["items"]):
        product_id, units, total = line["product_id"], line["quantity"], line["total_minor"]
        lines.append((event, number, order_id, member_id, product_id, day, cancelled, units, total, currency))
        key = (product_id, day, currency)
        sums = sales.get(key)
        if sums is None:
            sums = sales[key] = [0, 0, 0, 0]
        sums[first] += units
        sums[first + 1] += total
        all_units += units
        all_totals += total
    if member_id is not None and not cancelled:
        orders.append((event, member_id, happened, happened.hour, all_units, all_totals, currency))


def is_order(value, key, timestamp, headers) -> bool:
    return any(name == "ce_type" and kind in (b"order-completed", b"order-cancelled") for name, kind in headers)


def exit_at_the_end(children: list[subprocess.Popen]) -> None:
    """Ends the process once its group has committed the end of its topics."""
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
            # All is committed.
            os._exit(max((child.wait() for child in children), default=0))
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
        # No state: sums are in Postgres.
        use_changelog_topics=False,
    )
    sink = PostgresSink()
    for topic in TOPICS:
        stream = application.dataframe(application.topic(topic, key_deserializer="str", value_deserializer="json"))
        stream.filter(is_order, metadata=True).sink(sink)
    children = []
    if "PEER_CHILD" not in os.environ:
        command = [sys.executable, __file__]
        environment = os.environ | {"PEER_CHILD": "1"}
        children = [subprocess.Popen(command, env=environment) for _ in range(PROCESSES - 1)]
    threading.Thread(target=exit_at_the_end, args=[children], daemon=True).start()
    application.run()


if __name__ == "__main__":
    sys.exit(main())
