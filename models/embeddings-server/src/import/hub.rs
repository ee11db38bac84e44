//! Repositories of a model hub with Hugging Face's API.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use jangbogo_openai::ApiKey;
use reqwest::{StatusCode, Url};
use reqwest_of_async_openai as reqwest;
use tokio::runtime::Runtime;

use super::error::ImportError;

/// Time limit between two chunks of a download.
const READ_LIMIT: Duration = Duration::from_mins(1);

/// Settings of the model hub.
#[derive(Args, Clone, Debug)]
pub struct HubArgs {
    /// Base URL of the model hub
    #[arg(id = "hub", long, env = "HF_ENDPOINT", default_value = "https://huggingface.co", value_name = "URL")]
    pub endpoint: String,
    /// Key for the model hub, for repositories that are not public
    #[arg(id = "hub-token", long, env = "HF_TOKEN", hide_env_values = true, value_name = "KEY")]
    pub token: Option<ApiKey>,
}

/// A repository at a revision.
pub(super) struct Repository {
    base: Url,
    client: reqwest::Client,
    token: Option<ApiKey>,
    owner: String,
    pub(super) name: String,
    revision: String,
    runtime: Runtime,
}

impl Repository {
    /// Parses `owner/name` or `owner/name@revision`; none if it is neither. Connects lazily.
    pub(super) fn new(id: &str, args: &HubArgs) -> Result<Option<Self>, ImportError> {
        let (id, revision) = id.split_once('@').unwrap_or((id, "main"));
        let is_part = |part: &str| {
            let allowed = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_' | '.');
            part.starts_with(char::is_alphanumeric) && part.chars().all(allowed)
        };
        let Some((owner, name)) = id.split_once('/').filter(|(owner, name)| is_part(owner) && is_part(name)) else {
            return Ok(None);
        };
        let (base, client) = jangbogo_openai::client_for(&args.endpoint)?;
        // The hub redirects to its storage. reqwest drops the key on a redirect to another host.
        let client = client.read_timeout(READ_LIMIT).build();
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| ImportError::Unreachable {
            url: args.endpoint.clone(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Some(Self {
            base,
            client: client.map_err(|error| unreachable(error.into()))?,
            token: args.token.clone().filter(|token| !token.is_empty()),
            owner: owner.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
            runtime: runtime.map_err(|error| unreachable(error.into()))?,
        }))
    }

    /// URL of a file.
    pub(super) fn url(&self, file: &str) -> Url {
        self.address("resolve", file)
    }

    fn address(&self, view: &str, file: &str) -> Url {
        let mut url = self.base.clone();
        // Infallible: `client_for` has checked that the URL has a host.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([&self.owner, &self.name, view, &self.revision]);
            segments.extend(file.split('/').filter(|part| !part.is_empty()));
        }
        url
    }

    /// Downloads a file, blocking; false if there is none.
    pub(super) fn copy(&self, file: &str, to: &mut dyn Write) -> Result<bool, ImportError> {
        let url = self.url(file);
        let unreachable = |source| ImportError::Unreachable { url: url.to_string(), source };
        self.runtime.block_on(async {
            let request = self.client.get(url.clone());
            let request = match &self.token {
                Some(token) => request.bearer_auth(token.expose()),
                None => request,
            };
            // The URL of a redirect may contain a key of its own.
            let failed = |error: reqwest::Error| unreachable(error.without_url().into());
            let mut response = request.send().await.map_err(failed)?;
            match response.status() {
                status if status.is_success() => {}
                StatusCode::NOT_FOUND => return Ok(false),
                status => return Err(refusal(&url, status)),
            }
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                to.write_all(&chunk).map_err(|error: io::Error| unreachable(error.into()))?;
            }
            Ok(true)
        })
    }
}

fn refusal(url: &Url, status: StatusCode) -> ImportError {
    let advice = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "there is no such repository, or HF_TOKEN must have a key that may read it"
        }
        StatusCode::TOO_MANY_REQUESTS => "try again later, or with a key in HF_TOKEN",
        _ => "try again later",
    };
    ImportError::Status { url: url.to_string(), status: status.as_u16(), advice }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address("tree", "").fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(id: &str) -> Option<Repository> {
        let endpoint = "https://hub.example/mirror/".to_owned();
        Repository::new(id, &HubArgs { endpoint, token: None }).unwrap()
    }

    #[test]
    fn a_repository_is_named_by_its_owner_and_name() {
        let url = |id, file| repository(id).unwrap().url(file).to_string();
        assert_eq!(
            url("intfloat/e5-small", "1_Pooling/config.json"),
            "https://hub.example/mirror/intfloat/e5-small/resolve/main/1_Pooling/config.json"
        );
        assert_eq!(
            url("a/b.c@refs/pr/1", "../config.json"),
            "https://hub.example/mirror/a/b.c/resolve/refs%2Fpr%2F1/config.json"
        );
        assert_eq!(repository("a/b@v1").unwrap().to_string(), "https://hub.example/mirror/a/b/tree/v1");
        for id in ["e5-small", "a/b/c", "../b", "a/", "/b", "a b/c", "./a", "~/a"] {
            assert!(repository(id).is_none(), "{id}");
        }
    }
}
