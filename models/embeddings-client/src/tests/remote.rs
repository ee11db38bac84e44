//! Batching, retries and the circuit breaker.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::header::RETRY_AFTER;

use super::*;

/// A client of a server that has not answered yet, with every permitted request in flight and these texts in its queue.
async fn with_queue(server: &TestServer, args: &EmbedderArgs, waiting: &[String]) -> (Embedder, Vec<Pending>) {
    let embedder = client(&server.url, args, tuning());
    let mut pending = Vec::new();
    for text in (0..args.remote.max_in_flight).map(|number| format!("first {number}")) {
        let count = server.request_count();
        pending.push(spawn(&embedder, text));
        until(|| server.request_count() > count).await;
    }
    pending.extend(waiting.iter().map(|text| spawn(&embedder, text.clone())));
    until(|| in_queue(&embedder) == waiting.len()).await;
    (embedder, pending)
}

/// A pending request for a text's vector.
type Pending = tokio::task::JoinHandle<(String, Result<Vector, EmbedError>)>;

fn spawn(embedder: &Embedder, text: String) -> Pending {
    let embedder = embedder.clone();
    tokio::spawn(async move {
        let vector = embedder.embed_query(&text).await;
        (text, vector)
    })
}

fn in_queue(embedder: &Embedder) -> usize {
    let Backend::Remote { remote, .. } = &embedder.backend else { panic!() };
    remote.waiting()
}

fn one_in_flight() -> EmbedderArgs {
    EmbedderArgs { remote: RemoteArgs { max_in_flight: 1, ..args().remote }, ..args() }
}

/// A server that holds its answers back until permits are added.
async fn holding(react: React) -> TestServer {
    let server = TestServer::start(react).await;
    server.permits.forget_permits(Semaphore::MAX_PERMITS);
    server
}

#[tokio::test]
async fn texts_queue_while_requests_are_in_flight_and_are_sent_fifty_at_a_time() {
    let server = holding(letters).await;
    let (embedder, pending) = with_queue(&server, &one_in_flight(), &texts('b', 120)).await;
    server.permits.add_permits(100);
    for request in pending {
        let (text, vector) = request.await.unwrap();
        assert!(is_letter(&vector.unwrap(), &text));
    }
    let sizes: Vec<usize> = server.requests().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 50, 50, 20]);
    assert_eq!(embedder.metrics.embedder_request_texts.get_sample_count(), 4);
    assert_eq!((embedder.vectors_from("remote"), embedder.vectors_from("l1")), (121, 0));
}

#[tokio::test]
async fn the_bulkhead_limits_requests_in_flight() {
    let server = holding(letters).await;
    let (_, pending) = with_queue(&server, &args(), &texts('b', 10)).await;
    assert_eq!(server.request_count(), 4, "each with one text");
    server.permits.add_permits(100);
    for request in pending {
        request.await.unwrap().1.unwrap();
    }
    let mut last = server.requests().pop().unwrap();
    last.sort();
    assert_eq!(last, texts('b', 10));
}

#[tokio::test]
async fn concurrent_requests_for_one_text_are_sent_once() {
    let server = TestServer::start(letters).await;
    let embedder = client(&server.url, &args(), tuning());
    let vectors = embedder.embed_queries(&vec!["bag".to_owned(); 20]).await;
    assert!(vectors.into_iter().all(|vector| is_letter(&vector.unwrap(), "bag")));
    assert_eq!(server.requests(), [["bag"]]);
    assert_eq!((embedder.vectors_from("remote"), embedder.vectors_from("l1")), (1, 19));
}

#[tokio::test]
async fn a_full_queue_rejects_at_once() {
    let server = holding(letters).await;
    let remote = RemoteArgs { max_waiting: 2, ..one_in_flight().remote };
    let (embedder, pending) = with_queue(&server, &EmbedderArgs { remote, ..args() }, &texts('b', 2)).await;
    assert!(matches!(embedder.embed_query("one more").await, Err(EmbedError::Busy)));
    assert_eq!(embedder.failures("busy"), 1);
    server.permits.add_permits(100);
    for request in pending {
        request.await.unwrap().1.unwrap();
    }
}

#[tokio::test]
async fn cancelled_texts_are_not_sent() {
    let server = holding(letters).await;
    let (_, pending) = with_queue(&server, &one_in_flight(), &texts('b', 3)).await;
    pending[2].abort();
    until(|| pending[2].is_finished()).await;
    server.permits.add_permits(100);
    until(|| pending.iter().all(Pending::is_finished)).await;
    let mut last = server.requests().pop().unwrap();
    last.sort();
    assert_eq!(last, ["b0", "b2"]);
}

#[tokio::test]
async fn long_texts_are_sent_in_requests_of_their_own() {
    let server = holding(letters).await;
    let long = |letter: &str| letter.repeat(jangbogo_embedding::MAX_TEXT_BYTES - 10);
    let waiting = ["b".to_owned(), long("c"), "d".to_owned(), long("e")];
    let (_, pending) = with_queue(&server, &one_in_flight(), &waiting).await;
    server.permits.add_permits(100);
    for request in pending {
        request.await.unwrap().1.unwrap();
    }
    let requests = server.requests();
    let bytes = |texts: &Vec<String>| texts.iter().map(String::len).sum::<usize>();
    assert_eq!((requests.len(), requests.iter().map(Vec::len).sum::<usize>()), (3, 5));
    assert!(requests.iter().all(|texts| bytes(texts) <= jangbogo_embedding::MAX_TEXT_BYTES));
}

#[tokio::test]
async fn transient_failures_are_retried() {
    static REQUESTS: AtomicUsize = AtomicUsize::new(0);
    let server = TestServer::start(|texts| match REQUESTS.fetch_add(1, Ordering::SeqCst) {
        0 => unavailable(texts),
        1 => (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "0.2")], "slow down").into_response(),
        _ => letters(texts),
    })
    .await;
    let embedder = client(&server.url, &args(), tuning());
    let began = Instant::now();
    assert!(is_letter(&embedder.embed_query("bag").await.unwrap(), "bag"));
    assert!(began.elapsed() >= Duration::from_millis(200), "the server's own pause");
    assert_eq!(server.request_count(), 3);
    let outcomes = ["refused", "rate-limited", "answered"]
        .map(|outcome| embedder.metrics.embedder_requests_total.with_label_values(&[outcome]).get());
    assert_eq!(outcomes, [1, 1, 1]);
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    for status in [400, 401, 404, 422] {
        let server = TestServer::start(letters).await;
        let refused: React = match status {
            400 => |_| StatusCode::BAD_REQUEST.into_response(),
            401 => |_| StatusCode::UNAUTHORIZED.into_response(),
            404 => |_| StatusCode::NOT_FOUND.into_response(),
            _ => |_| StatusCode::UNPROCESSABLE_ENTITY.into_response(),
        };
        server.react(refused);
        let embedder = client(&server.url, &args(), tuning());
        assert!(matches!(embedder.embed_query("bag").await, Err(EmbedError::Server(_))));
        assert_eq!(server.request_count(), 1, "{status}");
        server.react(letters);
        embedder.embed_query("bag").await.unwrap();
    }
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_fails_at_once() {
    let server =
        TestServer::start(|_| (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "60")], "slow down").into_response())
            .await;
    let began = Instant::now();
    let error = client(&server.url, &args(), tuning()).embed_query("bag").await.unwrap_err();
    assert!(matches!(&error, EmbedError::Server(error) if error.retry_after() == Some(60 * SECOND)), "{error:?}");
    assert!(began.elapsed() < LONG);
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn a_text_that_the_server_refuses_fails_alone() {
    let server = holding(|texts| {
        if texts.iter().any(|text| text == "b17") { StatusCode::BAD_REQUEST.into_response() } else { letters(texts) }
    })
    .await;
    let (_, pending) = with_queue(&server, &one_in_flight(), &texts('b', 50)).await;
    server.permits.add_permits(100);
    for request in pending {
        let (text, vector) = request.await.unwrap();
        match vector {
            Ok(vector) => assert!(is_letter(&vector, &text) && text != "b17"),
            Err(error) => assert!(error.blames_texts() && text == "b17", "{text}: {error:?}"),
        }
    }
    // The first request, all fifty, and two halves for each halving of fifty down to one.
    assert!((12..=14).contains(&server.request_count()), "{}", server.request_count());
}

#[tokio::test]
async fn the_breaker_opens_and_closes() {
    let server = TestServer::start(unavailable).await;
    let embedder = client(&server.url, &args(), tuning());
    let state = || embedder.metrics.embedder_breaker_state.get();
    assert!(matches!(embedder.embed_query("bag").await, Err(EmbedError::Server(_))), "the server's error");
    assert_eq!((server.request_count(), state()), (3, 2), "three attempts are enough");
    // A probe is due after a while, and runs in the background.
    let probed = async {
        while server.request_count() < 5 {
            assert!(matches!(embedder.embed_query("bag").await, Err(EmbedError::Unavailable)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, probed).await.unwrap();
    assert_eq!(embedder.failures("server"), 1);

    server.react(letters);
    let recovered = async {
        while embedder.embed_query("bag").await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, recovered).await.unwrap();
    assert_eq!((state(), embedder.vectors_from("remote")), (0, 1));
}

#[tokio::test]
async fn a_silent_server_opens_the_breaker() {
    let server = holding(letters).await;
    let args = EmbedderArgs { timeout_ms: 200.try_into().unwrap(), ..args() };
    let thresholds = Thresholds { min_pause: LONG, max_pause: LONG, ..circuit::THRESHOLDS };
    let embedder = client(&server.url, &args, Tuning { thresholds, ..tuning() });
    for text in texts('b', 50) {
        embedder.embed_query(&text).await.unwrap_err();
    }
    // On a busy machine a request may have had too little time left to count as a failure.
    assert!((3..10).contains(&server.request_count()), "{}", server.request_count());
    assert!(embedder.failures("away") > 40);
}
