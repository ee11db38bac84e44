//! Routes of the pipeline's state.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jangbogo_fold::Processor;
use jangbogo_http::problem::Problem;
use jangbogo_processors::PROCESSORS;

use super::Service;
use super::failure::Answer;
use super::parameters::{Parameters, Segment};
use crate::pipeline::{PipelineState, ProcessorState, state};

/// State of the pipeline: outbox backlog, and each processor's lag and pending publications.
#[utoipa::path(get, path = "/v1/pipeline", tag = "pipeline", responses((status = 200, body = ref("#/components/schemas/PipelineState"))))]
pub(super) async fn pipeline(State(service): State<Service>, parameters: Parameters) -> Answer<Json<PipelineState>> {
    answer(&service, parameters, PROCESSORS).await
}

/// State of the outbox and of one processor.
#[utoipa::path(
    get,
    path = "/v1/pipeline/{processor}",
    tag = "pipeline",
    params(("processor" = String, Path, description = "The processor's name")),
    responses(
        (status = 200, body = ref("#/components/schemas/PipelineState")),
        (status = 404, description = "There is no such processor"),
    )
)]
pub(super) async fn processor(
    State(service): State<Service>,
    processor: Segment,
    parameters: Parameters,
) -> Answer<Json<PipelineState>> {
    let name = processor.map(|path| path.0).unwrap_or_default();
    let Some(processor) = jangbogo_processors::processor(&name) else {
        let names: Vec<&str> = PROCESSORS.iter().map(|processor| processor.name).collect();
        let detail = format!("there is no processor {name:?}; there are {}", names.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-processor", "Unknown processor", detail).into());
    };
    answer(&service, parameters, &[processor]).await
}

async fn answer(
    service: &Service,
    parameters: Parameters,
    processors: &[&'static Processor],
) -> Answer<Json<PipelineState>> {
    let answered_from = parameters.answered_from();
    parameters.finish()?;
    let state = state(&service.reader, &service.offsets, processors).await?;
    for ProcessorState { processor, live, .. } in &state.processors {
        if let Some(live) = live {
            answered_from.record(processor, live.generation);
        }
    }
    Ok(Json(state))
}
