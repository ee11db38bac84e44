//! A hub that requires a key, and redirects to storage for weights.

use std::path::PathBuf;

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use jangbogo_openai::ApiKey;
use tokio::net::TcpListener;

use super::*;

/// A hub's files by their paths, for requests with the key. Weights are in another storage.
#[derive(Clone)]
struct Hub {
    files: PathBuf,
    storage: String,
}

async fn serve_hub(State(hub): State<Hub>, UrlPath(path): UrlPath<String>, headers: HeaderMap) -> Response {
    let key = headers.get(header::AUTHORIZATION).and_then(|key| key.to_str().ok());
    let Some(file) = path.strip_prefix("mina/tiny/resolve/v1/").filter(|_| key == Some("Bearer geheim")) else {
        return (StatusCode::UNAUTHORIZED, "who are you").into_response();
    };
    if file == WEIGHTS {
        return Redirect::to(&format!("{}/{file}?signature=geheim", hub.storage)).into_response();
    }
    fs::read(hub.files.join(file)).map_or(StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn serve_storage(State(files): State<PathBuf>, UrlPath(file): UrlPath<String>, headers: HeaderMap) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        return (StatusCode::BAD_REQUEST, "a key too many").into_response();
    }
    fs::read(files.join(file)).unwrap().into_response()
}

async fn served(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn a_repository_of_a_hub_is_imported() {
    let (source, directory) = (folder(), tempfile::tempdir().unwrap());
    let files = source.path().to_owned();
    let storage = served(Router::new().route("/{*file}", get(serve_storage)).with_state(files.clone())).await;
    let hub = Hub { files, storage };
    let endpoint = served(Router::new().route("/mirror/{*path}", get(serve_hub)).with_state(hub)).await + "/mirror";

    let models = ModelsDirectory::at(directory.path());
    let add_with = async |id: &str, token: Option<&str>| {
        let (models, addition) = (models.clone(), addition(Path::new(id)));
        let hub = HubArgs { endpoint: endpoint.clone(), token: token.map(ApiKey::from) };
        assert!(!format!("{hub:?}").contains("geheim"));
        tokio::task::spawn_blocking(move || import_model(&models, addition, &hub, |_| {})).await.unwrap()
    };
    let spec = add_with("mina/tiny@v1", Some("geheim")).await.unwrap();
    assert!(spec.name.starts_with("tiny-") && spec.name.len() == 13, "{}", spec.name);
    assert_eq!(spec.origin, format!("{endpoint}/mina/tiny/tree/v1"));
    assert_eq!(spec.prompts, Prompts { query: "a ", passage: "red " });
    models.verify(spec).unwrap();

    for (id, token) in [("mina/tiny@v1", None), ("mina/other", Some("geheim"))] {
        let refused = message(&add_with(id, token).await.unwrap_err());
        assert!(refused.contains("with status 401") && refused.contains("HF_TOKEN must have a key"), "{refused}");
        assert!(!refused.contains("geheim"), "{refused}");
    }
    fs::remove_file(source.path().join(TOKENIZER)).unwrap();
    let lacking = message(&add_with("mina/tiny@v1", Some("geheim")).await.unwrap_err());
    assert!(lacking.contains("/mina/tiny/tree/v1 has no tokenizer.json"), "{lacking}");

    let gone = HubArgs { endpoint: "http://127.0.0.1:1".to_owned(), token: Some(ApiKey::from("geheim")) };
    let addition = addition(Path::new("mina/tiny"));
    let gone =
        tokio::task::spawn_blocking(move || import_model(&models, addition, &gone, |_| {})).await.unwrap().unwrap_err();
    let gone = message(&gone);
    assert!(gone.starts_with("http://127.0.0.1:1/mina/tiny/resolve/main/modules.json cannot be downloaded"), "{gone}");
}
