//! What the `OpenAPI` document of query has beside its routes.

use jangbogo_http::openapi::{document, for_each_operation, schema_settings};
use serde::Serialize;
use serde_json::{Value, json};

use super::analytics::{Day, Days, FunnelDays, Totals};
use super::conversations::{EntryPage, MemberConversations};
use super::members::{PurchasePattern, Recommendations};
use super::messages::MessageResults;
use super::preferences::MemberPreferences;
use super::products::{CategoryList, PopularList, SimilarList, TrendingList};
use super::search::SearchResults;
use super::shown::ShownList;
use crate::conversations::ConversationSummary;
use crate::pipeline::PipelineState;
use crate::products::ProductDetail;

/// The document of query.
pub(super) fn describe(routes: &impl Serialize) -> Value {
    let mut schemas = schema_settings().for_serialize().into_generator();
    schemas.subschema_for::<CategoryList>();
    schemas.subschema_for::<ConversationSummary>();
    schemas.subschema_for::<Day>();
    schemas.subschema_for::<Days>();
    schemas.subschema_for::<EntryPage>();
    schemas.subschema_for::<FunnelDays>();
    schemas.subschema_for::<MemberConversations>();
    schemas.subschema_for::<MemberPreferences>();
    schemas.subschema_for::<MessageResults>();
    schemas.subschema_for::<PipelineState>();
    schemas.subschema_for::<PopularList>();
    schemas.subschema_for::<ProductDetail>();
    schemas.subschema_for::<PurchasePattern>();
    schemas.subschema_for::<Recommendations>();
    schemas.subschema_for::<SearchResults>();
    schemas.subschema_for::<ShownList>();
    schemas.subschema_for::<SimilarList>();
    schemas.subschema_for::<Totals>();
    schemas.subschema_for::<TrendingList>();
    let mut document = document(
        "Jangbogo query",
        "Reads of the read models, with the products' current attributes; as of a generation of the past, with the \
         attributes of that time.",
        routes,
        schemas,
    );
    document["components"]["headers"]["Projection-Generations"] = json!({
        "description": "The generations this was read from: `processor=id`, separated by commas",
        "schema": { "type": "string" },
    });
    for_each_operation(&mut document, |operation| {
        let Some(responses) = operation["responses"].as_object_mut() else { return };
        let answers = responses.iter_mut().filter(|(status, _)| *status != "101" && *status != "default");
        for (_, response) in answers {
            response["headers"]["Projection-Generations"] =
                json!({ "$ref": "#/components/headers/Projection-Generations" });
        }
    });
    document
}

#[cfg(test)]
mod tests {
    use jangbogo_http::openapi::{dangling_references, references};

    use super::*;

    #[test]
    fn every_reference_resolves() {
        let document = describe(super::super::reads().get_openapi());
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["paths"].as_object().unwrap().len(), 21);
        assert!(references(&document).len() > 20);
        assert_eq!(dangling_references(&document), Vec::<&str>::new());
    }

    #[test]
    fn every_read_from_rows_takes_as_of() {
        let description = describe(super::super::reads().get_openapi());
        for (path, item) in description["paths"].as_object().unwrap() {
            let parameters = item["get"]["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            if path.ends_with("/stream") {
                assert!(item["get"]["responses"]["101"].is_object(), "it follows what is live");
                continue;
            }
            let takes_as_of = parameters.iter().any(|parameter| parameter["name"] == "as_of");
            let is_searched = path == "/v1/search" || path.ends_with("/messages");
            assert_eq!(takes_as_of, !path.starts_with("/v1/pipeline") && !is_searched, "{path}");
            assert!(item["get"]["responses"]["200"]["headers"]["Projection-Generations"].is_object(), "{path}");
        }
    }
}
