//! Routes of products, similar, trending and popular products, and categories.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jangbogo_events::{CategoryId, ProductId};
use jangbogo_http::problem::Problem;
use jangbogo_ranking_store::{decode_list, view};
use jangbogo_read::Served;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_recommendation_fold::co_purchase::SIMILAR_VIEW;
use jangbogo_recommendation_fold::popularity::{POPULAR_VIEW, TRENDING_KEY, TRENDING_VIEW};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Service;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{LIMIT, LIMIT_OF_50, Parameters, Segment, shop_id};
use crate::products::{self, Lookup, ProductDetail, ProductSummary};

/// A product of a list.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct ListItem {
    product: ProductSummary,
    /// Score by which the list is ordered.
    score: f64,
    /// Number of orders, in a list of similar products those with both; absent where orders are not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    orders: Option<i64>,
}

/// An item of a view's list.
#[derive(Debug, Deserialize)]
struct ViewItem {
    product_id: String,
    score: f64,
    orders: Option<i64>,
}

/// Products often bought together with one.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SimilarList {
    /// The requested product.
    product_id: String,
    /// Most similar first.
    items: Vec<ListItem>,
}

/// Trending products of the whole shop.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TrendingList {
    /// Highest score first.
    items: Vec<ListItem>,
}

/// Popular products of a category.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PopularList {
    /// The requested category.
    category: String,
    /// Most bought first.
    items: Vec<ListItem>,
}

/// The shop's categories.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CategoryList {
    /// Ordered by name.
    categories: Vec<Category>,
}

/// A category.
#[derive(Debug, Serialize, sqlx::FromRow, JsonSchema)]
pub(super) struct Category {
    /// Slug of the category.
    category: String,
    /// Number of products on sale.
    products: i64,
}

/// All attributes of a product.
#[utoipa::path(
    get,
    path = "/v1/products/{product_id}",
    tag = "products",
    params(
        ("product_id" = String, Path, description = "The product", min_length = 1, max_length = 64),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/ProductDetail")),
        (status = 404, description = "The product is unknown"),
        (status = 410, description = "The product was taken off sale"),
    )
)]
pub(super) async fn product(
    State(service): State<Service>,
    product_id: Segment,
    parameters: Parameters,
) -> Answer<Json<ProductDetail>> {
    let product_id = shop_id(product_id, "product_id", ProductId::new)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    match products::find(&service.reader, snapshot.get(&RECOMMENDATION)?, &product_id).await? {
        Lookup::OnSale(product) => Ok(Json(*product)),
        Lookup::Unknown => Err(unknown_product(&product_id).into()),
        Lookup::Retired => {
            let detail = format!("the product {product_id} was taken off sale; its similar products may do instead");
            Err(Problem::new(StatusCode::GONE, "retired-product", "Retired product", detail).into())
        }
    }
}

/// Products often bought together with one, which may have been taken off sale.
#[utoipa::path(
    get,
    path = "/v1/products/{product_id}/similar",
    tag = "products",
    params(
        ("product_id" = String, Path, description = "The product", min_length = 1, max_length = 64),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT_OF_50),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/SimilarList")),
        (status = 404, description = "The product is unknown"),
    )
)]
pub(super) async fn similar(
    State(service): State<Service>,
    product_id: Segment,
    parameters: Parameters,
) -> Answer<Json<SimilarList>> {
    let product_id = shop_id(product_id, "product_id", ProductId::new)?;
    let List { served, has_value, items } = list(&service, parameters, SIMILAR_VIEW, &product_id).await?;
    if !has_value && products::find(&service.reader, &served, &product_id).await? == Lookup::Unknown {
        return Err(unknown_product(&product_id).into());
    }
    Ok(Json(SimilarList { product_id: product_id.to_string(), items }))
}

/// Trending products: those that get most attention in the whole shop lately.
#[utoipa::path(
    get,
    path = "/v1/trending",
    tag = "products",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses((status = 200, body = ref("#/components/schemas/TrendingList")))
)]
pub(super) async fn trending(State(service): State<Service>, parameters: Parameters) -> Answer<Json<TrendingList>> {
    let List { items, .. } = list(&service, parameters, TRENDING_VIEW, TRENDING_KEY).await?;
    Ok(Json(TrendingList { items }))
}

/// The categories that have products on sale.
#[utoipa::path(
    get,
    path = "/v1/categories",
    tag = "products",
    params(("as_of" = Option<String>, Query, description = AS_OF)),
    responses((status = 200, body = ref("#/components/schemas/CategoryList")))
)]
pub(super) async fn categories(State(service): State<Service>, parameters: Parameters) -> Answer<Json<CategoryList>> {
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let sql = format!(
        "SELECT category, count(*) AS products FROM {}.product
         WHERE category IS NOT NULL AND title IS NOT NULL AND NOT coalesce(retired, false)
         GROUP BY category ORDER BY category",
        snapshot.get(&RECOMMENDATION)?.generation.schema
    );
    let categories = sqlx::query_as(&sql).fetch_all(service.reader.postgres()).await?;
    Ok(Json(CategoryList { categories }))
}

/// Products of a category that are bought most lately.
#[utoipa::path(
    get,
    path = "/v1/categories/{category}/popular",
    tag = "products",
    params(
        ("category" = String, Path, description = "The category's slug", min_length = 1, max_length = 64),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT_OF_50),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/PopularList")),
        (status = 404, description = "No product ever had this category"),
    )
)]
pub(super) async fn popular(
    State(service): State<Service>,
    category: Segment,
    parameters: Parameters,
) -> Answer<Json<PopularList>> {
    let category = shop_id(category, "category", CategoryId::new)?;
    let List { served, has_value, items } = list(&service, parameters, POPULAR_VIEW, &category).await?;
    if !has_value && !is_category(&service, &served, &category).await? {
        let detail = format!("no product has the category {category}; /v1/categories lists those there are");
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-category", "Unknown category", detail).into());
    }
    Ok(Json(PopularList { category: category.to_string(), items }))
}

async fn is_category(service: &Service, served: &Served, category: &CategoryId) -> Result<bool, sqlx::Error> {
    let sql = format!("SELECT EXISTS (SELECT FROM {}.product WHERE category = $1)", served.generation.schema);
    sqlx::query_scalar(&sql).bind(category.as_str()).fetch_one(service.reader.postgres()).await
}

/// The list in a view of `recommendation`.
struct List {
    served: Served,
    /// The view has a value for the key.
    has_value: bool,
    /// Products on sale, with their attributes.
    items: Vec<ListItem>,
}

async fn list(service: &Service, mut parameters: Parameters, name: &'static str, key: &str) -> Answer<List> {
    let limit = parameters.limit()?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.get(&RECOMMENDATION)?;
    let value = service.reader.view(served, view(name)?, key).await?;
    let has_value = value.is_some();
    let items: Vec<ViewItem> = decode_list(value);
    let ids: Vec<&str> = items.iter().map(|item| item.product_id.as_str()).collect();
    let products = products::by_id(&service.reader, served, &ids).await?;
    let on_sale = items.iter().filter_map(|item| {
        let product = products.on_sale(&item.product_id)?.clone();
        Some(ListItem { product, score: item.score, orders: item.orders })
    });
    Ok(List { served: served.clone(), has_value, items: on_sale.take(limit).collect() })
}

fn unknown_product(product_id: &ProductId) -> Problem {
    let detail = format!("there is no product {product_id}");
    Problem::new(StatusCode::NOT_FOUND, "unknown-product", "Unknown product", detail)
}
