//! HTTP clients with TLS.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest_of_async_openai as reqwest;
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::endpoint::parse_address;
use crate::error::SetupError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The parsed URL of another kind of server, and a client with the same TLS settings.
///
/// # Errors
/// When the address is invalid, or there are no certificate authorities for HTTPS.
pub fn client_for(address: &str) -> Result<(reqwest::Url, reqwest::ClientBuilder), SetupError> {
    let url = parse_address(address)?;
    let client = builder(&url)?;
    Ok((url, client))
}

/// The client of a server with OpenAI's API.
pub(crate) fn http_client(url: &reqwest::Url) -> Result<reqwest::Client, SetupError> {
    // A redirect may drop the request's body, and must not send its key to another host.
    let client = builder(url)?.redirect(reqwest::redirect::Policy::none());
    client.build().map_err(|error| SetupError::Client(Box::new(error)))
}

fn builder(url: &reqwest::Url) -> Result<reqwest::ClientBuilder, SetupError> {
    let mut client = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .user_agent(concat!("jangbogo/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls(url.scheme() == "https").map_err(SetupError::Certificates)?);
    if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        client = client.no_proxy();
    }
    Ok(client)
}

/// The client that builds requests, and sends none.
pub(crate) fn http_client_without_tls() -> Result<reqwest::Client, SetupError> {
    let tls = tls(false).map_err(SetupError::Certificates)?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    client.build().map_err(|error| SetupError::Client(Box::new(error)))
}

/// Plain HTTP works without certificate authorities, which small containers lack.
fn tls(with_authorities: bool) -> Result<rustls::ClientConfig, Box<dyn Error + Send + Sync>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = if with_authorities {
        config.with_platform_verifier()?
    } else {
        config.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(config.with_no_client_auth())
}
