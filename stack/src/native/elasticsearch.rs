//! Elasticsearch: the small distribution that is published for integration tests, with Korean analysis.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jangbogo_platform::progress::Progress;
use jangbogo_platform::servers::Server;
use tokio::process::Command;

use super::{Native, data_property};
use crate::error::StackError;
use crate::files::{self, FileErrors};
use crate::install::{self, Installation};
use crate::ports::Listener;
use crate::process::Launch;
use crate::versions::VERSIONS;
use crate::{command, tools};

/// Settings that `docker-compose.yml` has too; a test compares them.
pub(crate) const SETTINGS: &[(&str, &str)] = &[
    ("cluster.name", "jangbogo"),
    ("node.name", "jangbogo"),
    ("discovery.type", "single-node"),
    ("xpack.security.enabled", "false"),
    // Indexes are created by name, with their mappings, or not at all.
    ("action.auto_create_index", "false"),
    ("cluster.routing.allocation.disk.threshold_enabled", "false"),
    ("cluster.max_shards_per_node", "4000"),
];

/// Measured on two cores: a start takes 5.2 s of wall time, 4.5 s of processor time and 354 MB with these options, and
/// 6.7 s, 9.5 s and 747 MB with the server's own.
const JVM_OPTIONS: &str = "\
-Xms512m
-Xmx512m
-XX:+UseSerialGC
-XX:TieredStopAtLevel=1
-XX:-AlwaysPreTouch
-XX:+ExitOnOutOfMemoryError
-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1
-Djava.io.tmpdir=${ES_TMPDIR}
";

const PLUGIN_FILES: [(&str, &str); 2] = [
    ("stable-plugin-descriptor.properties", include_str!("../../nori-plugin/stable-plugin-descriptor.properties")),
    ("named_components.json", include_str!("../../nori-plugin/named_components.json")),
];
const PLUGIN_SOURCES: [(&str, &str); 2] = [
    ("NoriAnalyzerFactory", include_str!("../../nori-plugin/src/jangbogo/nori/NoriAnalyzerFactory.java")),
    ("NoriTokenizerFactory", include_str!("../../nori-plugin/src/jangbogo/nori/NoriTokenizerFactory.java")),
];

pub(super) async fn install(native: &Native, progress: &Progress) -> Result<(), StackError> {
    let pinned = &VERSIONS.elasticsearch;
    let (version, lucene) = (&pinned.version, &pinned.lucene);
    let software = native.layout.software();
    let installation = Installation::begin(&software, &format!("elasticsearch-{version}"))?;
    let download = installation.workspace();
    let group = "org.elasticsearch.distribution.integ-test-zip";
    let archive = format!("{group}:elasticsearch:{version}:zip");
    install::copy_artifact(&archive, download, progress).await?;
    let nori = format!("org.apache.lucene:lucene-analysis-nori:{lucene}");
    install::copy_artifact(&nori, download, progress).await?;
    let archive = download.join(format!("elasticsearch-{version}.zip"));
    let nori = download.join(format!("lucene-analysis-nori-{lucene}.jar"));
    install::verify_file(archive.clone(), &pinned.archive_sha256).await?;
    install::verify_file(nori.clone(), &pinned.nori_sha256).await?;
    progress.begin("unpacking", 0);
    install::unzip(archive, installation.content(), without_first_directory).await?;
    progress.begin("adding Korean analysis", 0);
    add_korean_analysis(&installation, &nori).await?;
    installation.finish()
}

fn without_first_directory(path: &Path) -> Option<PathBuf> {
    let rest: PathBuf = path.components().skip(1).collect();
    (!rest.as_os_str().is_empty()).then_some(rest)
}

/// Compiles the plugin in `stack/nori-plugin` against the server and puts it among the server's plugins.
async fn add_korean_analysis(installation: &Installation, nori: &Path) -> Result<(), StackError> {
    let home = installation.content();
    let plugin = home.join("plugins/analysis-nori");
    files::create_directory(&plugin)?;
    for (name, contents) in PLUGIN_FILES {
        let path = plugin.join(name);
        std::fs::write(&path, contents).or_file_error("write", &path)?;
    }
    let sources = installation.workspace().join("sources");
    files::create_directory(&sources)?;
    let java_home = tools::java_home().ok_or_else(tools::no_java)?;
    let mut javac = Command::new(java_home.join("bin/javac"));
    javac.args(["--release", "17", "-cp"]);
    javac.arg(format!("{}/lib/*:{}", home.display(), nori.display()));
    javac.arg("-d").arg(&sources);
    for (class, source) in PLUGIN_SOURCES {
        let path = sources.join(format!("{class}.java"));
        std::fs::write(&path, source).or_file_error("write", &path)?;
        javac.arg(path);
    }
    command::run("compiling the Korean analysis plugin", &mut javac, |_| {}).await?;
    write_jar(&sources, &plugin.join("jangbogo-nori.jar"))?;
    let jar = plugin.join("lucene-analysis-nori.jar");
    std::fs::copy(nori, &jar).or_file_error("write", &jar).map(drop)
}

fn write_jar(classes: &Path, jar: &Path) -> Result<(), StackError> {
    let write = || {
        let mut archive = zip::ZipWriter::new(File::create(jar)?);
        for (class, _) in PLUGIN_SOURCES {
            let path = format!("jangbogo/nori/{class}.class");
            let options = zip::write::SimpleFileOptions::default();
            archive.start_file(&path, options).map_err(std::io::Error::other)?;
            archive.write_all(&std::fs::read(classes.join(&path))?)?;
        }
        archive.finish().map_err(std::io::Error::other).map(drop)
    };
    write().or_file_error("write", jar)
}

pub(super) fn prepare(native: &Native) -> Result<Launch, StackError> {
    let java_home = tools::java_home().ok_or_else(tools::no_java)?;
    let server = Server::Elasticsearch;
    let configuration = native.layout.configuration(server);
    let data = native.layout.data(server);
    let temporary = native.layout.temporary(server);
    let jvm_options = format!("{JVM_OPTIONS}{}\n", data_property(&data));
    let contents = [
        ("elasticsearch.yml", elasticsearch_yml(native)),
        ("jvm.options", jvm_options),
        ("log4j2.properties", log_settings(&native.layout.log(server))),
    ];
    for (name, text) in contents {
        files::write_atomically(&configuration.join(name), &text, 0o644)?;
    }
    Ok(Launch {
        program: native.software(server).join("bin/elasticsearch"),
        arguments: vec!["--daemonize".into()],
        environment: vec![
            ("ES_JAVA_HOME", java_home.into()),
            ("ES_PATH_CONF", configuration.into()),
            ("ES_TMPDIR", temporary.clone().into()),
        ],
        working_directory: temporary,
        ends_when_started: true,
    })
}

fn elasticsearch_yml(native: &Native) -> String {
    let server = Server::Elasticsearch;
    let mut text = String::from("# Written by `jangbogo stack`; changes are overwritten.\n");
    for (name, value) in SETTINGS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    }
    let _ = write!(
        text,
        "network.host: 127.0.0.1\nhttp.port: {}\ntransport.port: {}\npath.data: \"{}\"\npath.logs: \"{}\"\n",
        native.port(server),
        Listener::ElasticsearchTransport.port(&native.ports),
        native.layout.data(server).display(),
        native.layout.temporary(server).display()
    );
    text
}

/// One log file, also after the server has detached from its launcher.
fn log_settings(log: &Path) -> String {
    format!(
        "status = error\n\
         appender.file.type = File\n\
         appender.file.name = file\n\
         appender.file.fileName = {}\n\
         appender.file.layout.type = PatternLayout\n\
         appender.file.layout.pattern = %d{{ISO8601}} %p [%c{{1.}}] %m%n\n\
         rootLogger.level = info\n\
         rootLogger.appenderRef.file.ref = file\n",
        log.display()
    )
}
