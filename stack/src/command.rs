//! Runs the programs that install and prepare servers.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

use crate::error::StackError;
use crate::files;

const LINES_SHOWN_ON_FAILURE: usize = 20;

/// Runs `command` to its end, passing each line of its output on, and gives its output.
///
/// # Errors
/// When it cannot be started or fails; the message holds the end of its output.
pub(crate) async fn run(
    purpose: &str,
    command: &mut Command,
    on_line: impl Fn(&str) + Send + Sync,
) -> Result<String, StackError> {
    let shown = show(command);
    let failure = |status: String, output: &str| StackError::Command {
        purpose: purpose.to_owned(),
        command: shown.clone(),
        status,
        output: files::last_lines_of(output, LINES_SHOWN_ON_FAILURE),
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failure(error.to_string(), ""))?;
    let (standard_output, standard_error) = (child.stdout.take(), child.stderr.take());
    let (output, errors, status) =
        tokio::join!(read_lines(standard_output, &on_line), read_lines(standard_error, &on_line), child.wait(),);
    let status = status.map_err(|error| failure(error.to_string(), ""))?;
    if status.success() {
        return Ok(output);
    }
    Err(failure(status.to_string(), &format!("{output}\n{errors}")))
}

async fn read_lines(stream: Option<impl AsyncRead + Unpin>, on_line: &(impl Fn(&str) + Send + Sync)) -> String {
    let mut text = String::new();
    let Some(stream) = stream else {
        return text;
    };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // An unreadable pipe ends the output; the exit status still shows the result.
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        let shown = String::from_utf8_lossy(&line);
        on_line(shown.trim_end());
        text.push_str(&shown);
        line.clear();
    }
    text
}

/// The program and the start of its arguments.
fn show(command: &Command) -> String {
    const ARGUMENTS_SHOWN: usize = 6;
    let command = command.as_std();
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    words.extend(arguments.take(ARGUMENTS_SHOWN).map(std::borrow::Cow::into_owned));
    if command.get_args().len() > ARGUMENTS_SHOWN {
        words.push("…".to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_shows_the_end_of_both_streams() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo before; echo cause >&2; exit 3"]);
        let error = run("trying", &mut command, |_| {}).await.unwrap_err();
        let message = error.to_string();
        for part in ["trying", "exit status: 3", "before", "cause"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let mut command = Command::new("no-such-program-here");
        let error = run("trying", &mut command, |_| {}).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }

    #[tokio::test]
    async fn output_is_given_line_by_line_and_whole() {
        let lines = std::sync::Mutex::new(Vec::new());
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two"]);
        let output = run("trying", &mut command, |line| {
            lines.lock().unwrap().push(line.to_owned());
        })
        .await
        .unwrap();
        assert_eq!(output, "one\ntwo\n");
        assert_eq!(*lines.lock().unwrap(), ["one", "two"]);
    }
}
