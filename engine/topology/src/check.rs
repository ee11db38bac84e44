//! Compares `topology.toml` with the code: topics, processors, projections, reactors and views.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jangbogo_events::Topic;
use jangbogo_fold::{Processor, Target};

use super::{Store, TopicSpec, Topology};

/// A processor as the code declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredProcessor {
    pub name: &'static str,
    pub reads: Vec<Topic>,
    pub projections: Vec<&'static str>,
    pub reactors: Vec<DeclaredReactor>,
    /// Each view with the store that serves it.
    pub views: Vec<(Store, &'static str)>,
}

/// A reactor as the code declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredReactor {
    pub name: &'static str,
    pub reads: &'static [Topic],
    pub emits: &'static [Topic],
}

impl DeclaredProcessor {
    /// Describes a processor with the reactors that its program hosts.
    #[must_use]
    pub fn new(processor: &Processor, reactors: Vec<DeclaredReactor>) -> Self {
        let store = |target: Target| match target {
            Target::Postgres => Store::Postgres,
            Target::RedisHash | Target::RedisRanking | Target::RedisEviction => Store::Redis,
            Target::Elasticsearch { .. } => Store::Elasticsearch,
        };
        Self {
            name: processor.name,
            reads: processor.topics(),
            projections: processor.projections.iter().map(|projection| projection.name).collect(),
            reactors,
            views: processor.views().map(|view| (store(view.target), view.name)).collect(),
        }
    }
}

/// A difference between `topology.toml` and the code or Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub problem: String,
    pub remedy: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.problem, self.remedy)
    }
}

/// Compares a topology with the code. Empty when they agree.
#[must_use]
pub fn check(topology: &Topology, declared: &[DeclaredProcessor]) -> Vec<Mismatch> {
    let mut mismatches = Mismatches::default();
    check_topics(topology, &mut mismatches);
    check_names(topology, &mut mismatches);
    for processor in declared {
        check_processor(topology, processor, &mut mismatches);
    }
    for processor in &topology.processors {
        if !declared.iter().any(|declared| declared.name == processor.name) {
            mismatches.add(
                format!("topology.toml has a processor {} that no program registers", processor.name),
                "remove it from [[processors]], or register it in jangbogo_processors::PROCESSORS".to_owned(),
            );
        }
    }
    mismatches.0
}

#[derive(Default)]
struct Mismatches(Vec<Mismatch>);

impl Mismatches {
    fn add(&mut self, problem: String, remedy: String) {
        self.0.push(Mismatch { problem, remedy });
    }

    /// Adds one mismatch for each name that only one side has.
    fn compare(&mut self, processor: &str, what: &str, declared: &BTreeSet<String>, listed: &BTreeSet<String>) {
        for name in declared.difference(listed) {
            self.add(
                format!("processor {processor} has {what} {name} in the code, but not in topology.toml"),
                format!("list it there under [[processors]] {processor}"),
            );
        }
        for name in listed.difference(declared) {
            self.add(
                format!("topology.toml gives processor {processor} {what} {name} that the code does not have"),
                "remove it there, or declare it in the projection".to_owned(),
            );
        }
    }
}

fn check_topics(topology: &Topology, mismatches: &mut Mismatches) {
    for topic in Topic::ALL {
        match topology.topics.iter().filter(|spec| spec.name == *topic).count() {
            1 => {}
            0 => mismatches.add(
                format!("topic {topic} is missing from topology.toml"),
                format!("add [[topics]] name = \"{topic}\" with key, partitions, retention and description"),
            ),
            count => mismatches.add(
                format!("topology.toml has topic {topic} {count} times"),
                "keep one [[topics]] entry for it".to_owned(),
            ),
        }
    }
    for TopicSpec { name, key, partitions, description, .. } in &topology.topics {
        let facts = [
            ("key", key.clone(), name.key().to_owned()),
            ("partitions", partitions.to_string(), name.partitions().to_string()),
            ("description", description.clone(), name.description().to_owned()),
        ];
        for (fact, listed, declared) in facts.into_iter().filter(|(_, listed, declared)| listed != declared) {
            mismatches.add(
                format!("topic {name} has {fact} {listed:?} in topology.toml, but {declared:?} in the code"),
                "change one of them: the code's is in events/src/topic.rs".to_owned(),
            );
        }
    }
    if topology.kafka.replication_factor == 0 {
        mismatches.add("replication_factor is 0".to_owned(), "give it at least 1 under [kafka]".to_owned());
    }
    if topology.kafka.dead_letter_partitions == 0 {
        mismatches.add("dead_letter_partitions is 0".to_owned(), "give it at least 1 under [kafka]".to_owned());
    }
}

fn check_names(topology: &Topology, mismatches: &mut Mismatches) {
    let ingress = topology.ingress.iter().map(|ingress| &ingress.name);
    let processors = topology.processors.iter().map(|processor| &processor.name);
    let queries = topology.queries.iter().map(|query| &query.name);
    for (name, count) in counted(ingress.chain(processors).chain(queries)) {
        if count > 1 {
            mismatches.add(
                format!("{count} programs in topology.toml are named {name}"),
                "rename all but one: names are unique among ingress, processors and queries".to_owned(),
            );
        }
    }
    for (group, count) in counted(topology.processors.iter().map(|processor| &processor.group)) {
        if count > 1 {
            mismatches.add(
                format!("{count} processors in topology.toml have the group {group}"),
                "give each its own: processors of one group would share partitions and each miss events".to_owned(),
            );
        }
    }
    for query in &topology.queries {
        for processor in &query.reads {
            if topology.processor(processor).is_none() {
                mismatches.add(
                    format!("query {} reads processor {processor}, which topology.toml does not have", query.name),
                    "correct its reads, or add the processor".to_owned(),
                );
            }
        }
    }
}

fn counted<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.as_str()).or_default() += 1;
    }
    counts
}

fn check_processor(topology: &Topology, declared: &DeclaredProcessor, mismatches: &mut Mismatches) {
    let name = declared.name;
    let Some(listed) = topology.processor(name) else {
        mismatches.add(
            format!("processor {name} is missing from topology.toml"),
            format!("add [[processors]] name = \"{name}\" with group, reads, projections and publishes"),
        );
        return;
    };
    if listed.group != name {
        mismatches.add(
            format!("processor {name} has the group {} in topology.toml", listed.group),
            format!("write group = \"{name}\": a processor's group carries its name"),
        );
    }
    let strings = |topics: &[Topic]| topics.iter().map(Topic::to_string).collect();
    mismatches.compare(name, "topic", &strings(&declared.reads), &strings(&listed.reads));
    mismatches.compare(
        name,
        "projection",
        &declared.projections.iter().map(|&projection| projection.to_owned()).collect(),
        &listed.projections.iter().cloned().collect(),
    );
    mismatches.compare(
        name,
        "reactor",
        &declared.reactors.iter().map(|reactor| reactor.name.to_owned()).collect(),
        &listed.reactors.iter().cloned().collect(),
    );
    let emitted: BTreeSet<Topic> = declared.reactors.iter().flat_map(|reactor| reactor.emits).copied().collect();
    let names = |topics: &[Topic]| topics.iter().map(|topic| format!("that it emits, {topic},")).collect();
    mismatches.compare(name, "a topic", &names(&Vec::from_iter(emitted)), &names(&listed.emits));
    for reactor in &declared.reactors {
        for topic in reactor.reads.iter().chain(reactor.emits).filter(|topic| !declared.reads.contains(topic)) {
            mismatches.add(
                format!("reactor {} reads or emits {topic}, which {name} does not fold", reactor.name),
                "let a projection of the processor read it: a reactor waits for its input's fold, and asks whether its \
                 output is folded"
                    .to_owned(),
            );
        }
    }
    let declared_views = declared.views.iter().map(|(store, view)| format!("{view} in {store}")).collect();
    let listed_views =
        listed.publishes.iter().flat_map(|(store, views)| views.iter().map(move |view| format!("{view} in {store}")));
    mismatches.compare(name, "view", &declared_views, &listed_views.collect());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(topology: &Topology) -> Vec<DeclaredProcessor> {
        let declare = |name: &'static str| {
            let listed = topology.processor(name).unwrap();
            let views =
                listed.publishes.iter().flat_map(|(store, views)| views.iter().map(|view| (*store, leak(view))));
            DeclaredProcessor {
                name,
                reads: listed.reads.clone(),
                projections: listed.projections.iter().map(|projection| leak(projection)).collect(),
                reactors: listed.reactors.iter().map(|name| declare_reactor(name, &listed.emits)).collect(),
                views: views.collect(),
            }
        };
        // The last is es-sync.
        topology.processors.iter().map(|processor| declare(leak(&processor.name))).collect()
    }

    fn declare_reactor(name: &str, emits: &[Topic]) -> DeclaredReactor {
        DeclaredReactor { name: leak(name), reads: &[], emits: emits.to_vec().leak() }
    }

    fn leak(text: &str) -> &'static str {
        text.to_owned().leak()
    }

    fn lines(topology: &Topology, declared: &[DeclaredProcessor]) -> Vec<String> {
        check(topology, declared).iter().map(Mismatch::to_string).collect()
    }

    #[test]
    fn agreement_is_silent() {
        let topology = Topology::embedded().unwrap();
        assert_eq!(lines(&topology, &declared(&topology)), Vec::<String>::new());
    }

    #[test]
    fn a_missing_and_a_doubled_topic_are_named() {
        let mut topology = Topology::embedded().unwrap();
        let declared = declared(&topology);
        topology.topics.retain(|topic| topic.name != Topic::OrderCompleted);
        topology.topics.push(topology.topics[0].clone());
        assert_eq!(
            lines(&topology, &declared),
            [
                "topology.toml has topic catalog-events 2 times: keep one [[topics]] entry for it",
                "topic order-completed is missing from topology.toml: add [[topics]] name = \"order-completed\" with \
                 key, partitions, retention and description",
            ]
        );
    }

    #[test]
    fn keys_partitions_and_descriptions_of_topics_are_the_codes() {
        let mut topology = Topology::embedded().unwrap();
        let declared = declared(&topology);
        let topic = topology.topics.iter_mut().find(|topic| topic.name == Topic::EmbeddingEvents).unwrap();
        topic.key = "product_id or conversation_id".to_owned();
        topic.partitions = 12;
        topic.description = "Vectors".to_owned();
        let remedy = "change one of them: the code's is in events/src/topic.rs";
        let problem = |difference: &str| format!("topic embedding-events has {difference} in the code: {remedy}");
        assert_eq!(
            lines(&topology, &declared),
            [
                problem("key \"product_id or conversation_id\" in topology.toml, but \"product_id\""),
                problem("partitions \"12\" in topology.toml, but \"6\""),
                problem(
                    "description \"Vectors\" in topology.toml, but \"Vectors of products' texts as an embedding model \
                     gave them\"",
                ),
            ]
        );
    }

    #[test]
    fn every_mismatch_of_a_processor_is_named() {
        let topology = Topology::embedded().unwrap();
        let mut declared = declared(&topology);
        let es_sync = declared.last_mut().unwrap();
        es_sync.reads.retain(|topic| *topic != Topic::CatalogEvents);
        es_sync.reads.push(Topic::OrderCompleted);
        es_sync.projections.push("synonyms");
        es_sync.views.push((Store::Redis, "synonyms"));
        assert_eq!(
            lines(&topology, &declared),
            [
                "processor es-sync has topic order-completed in the code, but not in topology.toml: list it there \
                 under [[processors]] es-sync",
                "topology.toml gives processor es-sync topic catalog-events that the code does not have: remove it \
                 there, or declare it in the projection",
                "processor es-sync has projection synonyms in the code, but not in topology.toml: list it there under \
                 [[processors]] es-sync",
                "processor es-sync has view synonyms in Redis in the code, but not in topology.toml: list it there \
                 under [[processors]] es-sync",
            ]
        );
    }

    #[test]
    fn groups_names_and_processors_are_checked() {
        let mut topology = Topology::embedded().unwrap();
        let mut declared = declared(&topology);
        topology.processors[1].group = "recommendation".to_owned();
        topology.queries[0].name = "gateway".to_owned();
        topology.queries[0].reads.push("synonyms".to_owned());
        declared.pop();
        assert_eq!(
            lines(&topology, &declared),
            [
                "2 programs in topology.toml are named gateway: rename all but one: names are unique among ingress, \
                 processors and queries",
                "2 processors in topology.toml have the group recommendation: give each its own: processors of one \
                 group would share partitions and each miss events",
                "query gateway reads processor synonyms, which topology.toml does not have: correct its reads, or add \
                 the processor",
                "processor analytics has the group recommendation in topology.toml: write group = \"analytics\": a \
                 processor's group carries its name",
                "topology.toml has a processor es-sync that no program registers: remove it from [[processors]], or \
                 register it in jangbogo_processors::PROCESSORS",
            ]
        );
    }
}
