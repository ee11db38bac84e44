//! Renders the topology: Mermaid for documents, plain text for terminals.

use jangbogo_events::Topic;
use jangbogo_platform::namespace::Namespace;

use super::{ProcessorSpec, Store, TopicSpec, Topology};

/// A Mermaid flow chart: ingress, topics, processors, stores, queries.
#[must_use]
pub fn mermaid(topology: &Topology) -> String {
    let mut chart = Chart { lines: vec!["flowchart LR".to_owned()] };
    chart.ingress(topology);
    let (used, unused) = used_and_unused(topology);
    chart.topics("log", "the log: topics in Kafka", &used);
    chart.processors(topology);
    chart.queries(topology);
    if !unused.is_empty() {
        chart.topics("contract", "in the contract, with no writer and no reader yet", &unused);
    }
    chart.lines.join("\n") + "\n"
}

struct Chart {
    lines: Vec<String>,
}

impl Chart {
    fn line(&mut self, line: String) {
        self.lines.push(line);
    }

    /// Adds a line unless it is present: programs may share a relay, and with it its edges.
    fn line_once(&mut self, line: String) {
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    fn ingress(&mut self, topology: &Topology) {
        for ingress in &topology.ingress {
            self.line(format!("    {}[{}]", id(&ingress.name), ingress.name));
            let mut producer = &ingress.name;
            if let Some(relay) = &ingress.via {
                self.line_once(format!("    {}[{relay}]", id(relay)));
                self.line(format!("    {} -- outbox --> {}", id(&ingress.name), id(relay)));
                producer = relay;
            }
            for topic in &ingress.emits {
                self.line_once(format!("    {} --> {}", id(producer), topic_id(*topic)));
            }
        }
    }

    fn topics(&mut self, name: &str, title: &str, topics: &[&TopicSpec]) {
        self.line(format!("    subgraph {name}[\"{title}\"]"));
        for topic in topics {
            self.line(format!("        {}([{}])", topic_id(topic.name), topic.name));
        }
        self.line("    end".to_owned());
    }

    fn processors(&mut self, topology: &Topology) {
        for processor in &topology.processors {
            let node = id(&processor.name);
            let mut label = vec![format!("<b>{}</b>", processor.name)];
            label.extend(processor.projections.iter().cloned());
            label.extend(processor.reactors.iter().map(|reactor| format!("<i>{reactor}</i>")));
            self.line(format!("    {node}[\"{}\"]", label.join("<br/>")));
            for topic in &processor.reads {
                self.line(format!("    {} --> {node}", topic_id(*topic)));
            }
            for topic in &processor.emits {
                self.line(format!("    {node} --> {}", topic_id(*topic)));
            }
            for (store, contents) in stores(processor) {
                let store_node = store_id(processor, store);
                let mut label = vec![format!("<b>{store}</b>")];
                label.extend(contents);
                self.line(format!("    {store_node}[(\"{}\")]", label.join("<br/>")));
                self.line(format!("    {node} --> {store_node}"));
            }
            let dead_letters = Namespace::default().dead_letter_topic(&processor.group);
            self.line(format!("    {}([{dead_letters}])", id(&dead_letters)));
            self.line(format!("    {node} -. refused .-> {}", id(&dead_letters)));
        }
    }

    fn queries(&mut self, topology: &Topology) {
        for query in &topology.queries {
            self.line(format!("    {}[{}]", id(&query.name), query.name));
            for processor in query.reads.iter().filter_map(|name| topology.processor(name)) {
                for (store, _) in stores(processor) {
                    self.line(format!("    {} --> {}", store_id(processor, store), id(&query.name)));
                }
            }
        }
    }
}

/// A page for a terminal: the same as [`mermaid`], and each topic's key and partitions.
#[must_use]
pub fn text(topology: &Topology) -> String {
    let mut lines = vec!["INGRESS".to_owned()];
    for ingress in &topology.ingress {
        lines.push(heading(&ingress.name, &ingress.description));
        lines.extend(entry("writes", &names(&ingress.emits)));
        lines.extend(ingress.via.as_ref().and_then(|relay| entry("relayed by", relay)));
    }

    lines.extend([String::new(), "LOG: topics in Kafka, kept forever".to_owned()]);
    let mut rows = vec![["topic", "key", "partitions", "written by", "folded by"].map(str::to_owned)];
    for topic in &topology.topics {
        let writers = topology.writers(topic.name).join(", ");
        let readers = topology.readers(topic.name).join(", ");
        rows.push([topic.name.to_string(), topic.key.clone(), topic.partitions.to_string(), writers, readers]);
    }
    lines.extend(columns(&rows));

    lines.extend([String::new(), "PROCESSORS".to_owned()]);
    for processor in &topology.processors {
        lines.push(heading(&processor.name, &processor.description));
        lines.extend(entry("folds", &names(&processor.reads)));
        lines.extend(entry("hosts", &processor.projections.join(", ")));
        lines.extend(entry("writes", &names(&processor.emits)));
        for (store, contents) in stores(processor) {
            lines.extend(entry(&store.to_string(), &contents.join(", ")));
        }
        lines.extend(entry("refused", &Namespace::default().dead_letter_topic(&processor.group)));
    }

    lines.extend([String::new(), "QUERIES".to_owned()]);
    for query in &topology.queries {
        lines.push(heading(&query.name, &query.description));
        lines.extend(entry("reads", &query.reads.join(", ")));
    }
    lines.join("\n") + "\n"
}

fn heading(name: &str, description: &str) -> String {
    format!("  {name:<19}{description}")
}

/// An indented line; none without content.
fn entry(title: &str, content: &str) -> Option<String> {
    if content.is_empty() { None } else { Some(format!("{:21}{title:<15}{content}", "")) }
}

/// Pads cells to the width of their column.
fn columns(rows: &[[String; 5]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut lines = Vec::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        lines.push(format!("  {}", cells.join("  ").trim_end()));
    }
    lines
}

/// A processor's contents in each store. Every processor keeps its rows and its checkpoint in Postgres.
fn stores(processor: &ProcessorSpec) -> Vec<(Store, Vec<String>)> {
    let mut postgres = vec!["tables and checkpoint".to_owned()];
    postgres.extend(processor.publishes.get(&Store::Postgres).into_iter().flatten().cloned());
    let mut stores = vec![(Store::Postgres, postgres)];
    for (store, views) in &processor.publishes {
        if *store != Store::Postgres && !views.is_empty() {
            stores.push((*store, views.clone()));
        }
    }
    stores
}

fn used_and_unused(topology: &Topology) -> (Vec<&TopicSpec>, Vec<&TopicSpec>) {
    let used =
        |topic: &&TopicSpec| !topology.writers(topic.name).is_empty() || !topology.readers(topic.name).is_empty();
    topology.topics.iter().partition(used)
}

fn names(topics: &[Topic]) -> String {
    topics.iter().map(|topic| topic.name()).collect::<Vec<_>>().join(", ")
}

/// A name as a Mermaid node id. Topics have a prefix: a program and a topic may have the same name.
fn id(name: &str) -> String {
    name.replace(['-', '.', ' ', '/'], "_")
}

fn topic_id(topic: Topic) -> String {
    format!("topic_{}", id(topic.name()))
}

fn store_id(processor: &ProcessorSpec, store: Store) -> String {
    format!("{}_{}", id(&processor.name), store.to_string().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"
        [kafka]
        replication_factor = 1
        max_value_bytes = 1000
        max_dead_letter_bytes = 2000
        framing_bytes = 100
        dead_letter_partitions = 1

        [[topics]]
        name = "catalog-events"
        key = "product_id"
        partitions = 6
        retention = "forever"
        description = "Products"

        [[topics]]
        name = "embedding-events"
        key = "product_id"
        partitions = 12
        retention = "forever"
        description = "Vectors"

        [[ingress]]
        name = "gateway"
        description = "Commands"
        via = "outbox-dispatcher"
        emits = ["catalog-events"]

        [[processors]]
        name = "es-sync"
        group = "es-sync"
        description = "The catalogue"
        reads = ["catalog-events"]
        projections = ["catalogue"]
        emits = []
        [processors.publishes]
        elasticsearch = ["products"]

        [[queries]]
        name = "query"
        description = "Reads"
        reads = ["es-sync"]
    "#;

    #[test]
    fn draws_a_chart() {
        let topology = Topology::parse(PAGE, "the test").unwrap();
        insta::assert_snapshot!(mermaid(&topology));
    }

    #[test]
    fn writes_a_page() {
        let topology = Topology::parse(PAGE, "the test").unwrap();
        insta::assert_snapshot!(text(&topology));
    }
}
