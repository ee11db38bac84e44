//! .
use clap::Parser;
#[derive(Parser)]
struct A {
    #[command(flatten)]
    c: runtime::config::Connections,
    #[arg(long)]
    partitions: Option<u16>,
}
#[tokio::main]
async fn main() {
    let a = A::parse();
    let mut t = runtime::topology::Topology::embedded().unwrap();
    if let Some(p) = a.partitions {
        t.topics[0].partitions = p;
    }
    let now = std::time::Instant::now();
    match runtime::topology::apply(&t, &a.c).await {
        Ok(x) => {
            for t in x.topics {
                println!("{} {} {:?}", t.topic.name, t.topic.partitions, t.outcome)
            }
        }
        Err(e) => println!("{}", runtime::telemetry::causes(&e)),
    }
    println!("{:?}", now.elapsed());
    match runtime::topology::check_kafka(&t, &a.c).await {
        Ok(x) => {
            for m in x {
                println!("{m}")
            }
        }
        Err(e) => println!("{}", runtime::telemetry::causes(&e)),
    }
}
