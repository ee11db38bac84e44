//! References to shown products: the second one, 그거, that red clock, the cheapest.

use jangbogo_events::ProductId;

use crate::cue::Cue;
use crate::parse_state::{ParseState, ShownProduct};
use crate::span::{Meaning, Role, Span, Term};

/// Replaces spans that refer to shown products by the products.
pub(crate) fn read(state: &mut ParseState<'_>) {
    if state.context.shown.is_empty() {
        return;
    }
    let mut at = 0;
    while at < state.spans.len() {
        if state.spans[at].role == Role::Open
            && let Some((products, end)) = referents(state, at)
            && !products.is_empty()
        {
            // The words of a question stay: "does that", "is the".
            let kept = usize::from(state.spans[at].is(Cue::Ask));
            state.consume(at + kept, end.max(at + kept));
            let korean = state.spans[at].korean;
            let spaced = state.spans[at].spaced;
            state.spans.insert(at + kept, Span::new("", Meaning::Products(products), spaced, korean));
            at = end + 1;
        } else {
            at += 1;
        }
    }
    rest(state);
    like_the_only_one(state);
}

/// 비슷한데 유리로: refers to the only product shown.
fn like_the_only_one(state: &mut ParseState<'_>) {
    let [only] = &state.context.shown[..] else { return };
    if state.spans.iter().any(|span| matches!(span.meaning, Meaning::Products(_))) {
        return;
    }
    if let Some(same) =
        state.spans.iter_mut().find(|span| span.korean && span.is(Cue::Same) && span.text.starts_with("비슷"))
    {
        same.meaning = Meaning::Products(vec![only.product_id.clone()]);
    }
}

/// Products that the span refers to, and the span after the reference.
fn referents(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
    let shown = &state.context.shown;
    let span = &state.spans[at];
    let ids = |products: &[ShownProduct]| products.iter().map(|product| product.product_id.clone()).collect::<Vec<_>>();
    let one =
        |product: Option<&ShownProduct>| product.map(|product| vec![product.product_id.clone()]).unwrap_or_default();
    if let Some(ordinal) = span.cue(|cue| if let Cue::Ordinal(ordinal) = cue { Some(ordinal) } else { None }) {
        // "The first two".
        if ordinal == 1
            && let Some(number) = state.number(at + 1).and_then(|number| usize::try_from(number / 100).ok())
            && (2..=5).contains(&number)
        {
            return Some((ids(&shown[..number.min(shown.len())]), at + 2));
        }
        return Some((one(ordinal.checked_sub(1).and_then(|index| shown.get(index))), at + 1));
    }
    if span.is(Cue::Last) || span.is(Cue::Latter) || span.text == "last" {
        return Some((one(shown.last()), at + 1));
    }
    if span.is(Cue::Former) {
        return Some((one(shown.first()), at + 1));
    }
    let priced = || shown.iter().filter_map(|product| Some((product.price?.amount_minor, product)));
    if span.is(Cue::Cheapest) {
        return Some((one(priced().min_by_key(|(price, _)| *price).map(|(_, product)| product)), at + 1));
    }
    if span.is(Cue::Dearest) {
        return Some((one(priced().max_by_key(|(price, _)| *price).map(|(_, product)| product)), at + 1));
    }
    // "Both" and 둘 다 after two named qualities refer to these.
    let before = state.spans[..at].iter().rev().find(|span| !span.is_filler() || span.is(Cue::One));
    let of_qualities = before.is_some_and(|before| before.term().is_some() || before.is(Cue::One));
    if span.is(Cue::Both) && !of_qualities && !state.has(Cue::Cheapest) && !state.has(Cue::Dearest) {
        return Some((ids(&shown[..shown.len().min(2)]), at + 1));
    }
    demonstrative(state, at)
}

/// Products that "this", "that", "it" or "the …" refers to.
fn demonstrative(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
    let shown = &state.context.shown;
    let span = &state.spans[at];
    let word = if span.korean { "" } else { span.text.rsplit(' ').next().unwrap_or_default().trim_end_matches("'s") };
    let is_asking = span.is(Cue::Ask);
    let many = span.is(Cue::These) || is_asking && matches!(word, "these" | "those" | "they" | "them");
    let is_demonstrative =
        many || span.is(Cue::This) || span.is(Cue::That) || is_asking && matches!(word, "this" | "that" | "it");
    let is_definite = word == "the";
    if !is_demonstrative && !is_definite {
        return named_by_qualities(state, at);
    }
    let pronoun = matches!(word, "it" | "its" | "they" | "them")
        || span.korean && span.text.chars().count() > 1 && span.text.ends_with(['거', '것', '건', '게', '걸']);
    let nothing = (Vec::new(), at + 1, false);
    let described = if pronoun { nothing.clone() } else { description(&state.spans, at + 1) };
    let only_words = described.0.iter().all(|term| term.slot.is_empty());
    let titled = shown.iter().any(|product| fit(product, &described.0) > 0);
    let (terms, end, ends_in_one) =
        if !titled && (is_demonstrative || only_words && !described.2) { nothing } else { described };
    let plural = many || state.spans.get(end).is_some_and(|span| span.is(Cue::Plural));
    let many = plural && terms.is_empty();
    if terms.is_empty() {
        let vague = is_definite || matches!(word, "it" | "its" | "that" | "they" | "them");
        if vague && !ends_in_one {
            // "It" refers to a product only in a question about one.
            let question = state.is_question() || state.spans.first().is_some_and(|first| first.is(Cue::Question));
            let named_before = state.spans[..at].iter().any(Span::is_name);
            let measured = word == "that" && at > 0 && state.spans[at - 1].is(Cue::Same);
            let is_asked_about = measured
                || !is_definite && !named_before && (is_asking || word != "that" && question && state.has(Cue::Ask));
            return is_asked_about.then(|| (all_or_first(shown, many), at + 1));
        }
        if is_definite {
            return None;
        }
        // "It" and 그거 refer to a name before them; "this house" is not a product.
        let next = state.spans.get(end);
        let is_other_noun = next.is_some_and(|next| next.meaning == Meaning::Word) && !span.korean && !many;
        let has_antecedent = span.is(Cue::That) && state.spans[..at].iter().any(Span::is_name);
        if is_other_noun || has_antecedent {
            return None;
        }
        let alone = span.korean && span.text.chars().count() == 1 && !ends_in_one && !state.spans[at].is(Cue::These);
        if alone && shown.len() != 1 {
            return None;
        }
        return Some((all_or_first(shown, many), end));
    }
    let question = state.is_question() || state.has(Cue::Ask);
    let inverted = at > 0 && state.spans[at - 1].is(Cue::Question);
    let names_kind = terms.iter().any(Term::names_kind);
    let is_asked_about = question
        && (ends_in_one || is_asking || inverted || names_kind && fits_one(shown, &terms))
        && !state.has(Cue::Sell);
    // "The red one" was shown; "the red ones" may be other products.
    let single =
        ends_in_one && matches!(state.spans[end - 1].text.as_str(), "one" | "one's") && fits_one(shown, &terms);
    let bought = ends_in_one && state.has(Cue::Buy);
    if is_definite && !(is_asked_about || single || bought) {
        return None;
    }
    let scores: Vec<usize> = shown.iter().map(|product| fit(product, &terms)).collect();
    let best = scores.iter().copied().max().filter(|best| *best > 0)?;
    let fitting =
        shown.iter().zip(scores).filter(|(_, score)| *score == best).map(|(product, _)| product.product_id.clone());
    Some((fitting.take(if plural { 10 } else { 1 }).collect(), end))
}

/// "How much is a white frame?" about shown frames; "I'll take one with a cat".
fn named_by_qualities(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
    state.spans[at].term()?;
    let is_asked_about = state.has(Cue::Ask) && !state.has(Cue::Sell) && !state.has(Cue::Find);
    if !is_asked_about && !state.has(Cue::Buy) {
        return None;
    }
    let (terms, end, ends_in_one) = description(&state.spans, at);
    let names_kind = terms.iter().any(Term::names_kind);
    if !(names_kind && terms.len() > 1 || ends_in_one) || !fits_one(&state.context.shown, &terms) {
        return None;
    }
    let shown = state.context.shown.iter().find(|product| fit(product, &terms) == terms.len())?;
    Some((vec![shown.product_id.clone()], end))
}

/// True if exactly one shown product matches all terms.
fn fits_one(shown: &[ShownProduct], terms: &[Term]) -> bool {
    shown.iter().filter(|product| fit(product, terms) == terms.len()).count() == 1
}

fn all_or_first(shown: &[ShownProduct], all: bool) -> Vec<ProductId> {
    shown.iter().take(if all { 10 } else { 1 }).map(|product| product.product_id.clone()).collect()
}

/// Terms of a noun phrase, the span after it, and whether it ends in "one".
fn description(spans: &[Span], start: usize) -> (Vec<Term>, usize, bool) {
    let mut terms = Vec::new();
    let mut end = start;
    let mut ends_in_one = false;
    for (at, span) in spans.iter().enumerate().skip(start).take(6) {
        if let Some(term) = span.term() {
            terms.push(term.clone());
            end = at + 1;
            if term.names_kind() && !spans.get(at + 1).is_some_and(Span::names_kind) {
                break;
            }
        } else if span.meaning == Meaning::Word && !span.korean {
            // A word of the title is a term too: the potting shed one.
            terms.push(Term::new("", &jangbogo_lexicon::key(&span.text)));
            end = at + 1;
        } else if span.is(Cue::One) {
            ends_in_one = true;
            end = at + 1;
            break;
        } else if !(span.is_any(&[Cue::MarkerAfter, Cue::Part]) || span.is(Cue::Filler) && !span.korean && at == start)
        {
            break;
        }
    }
    (terms, end, ends_in_one)
}

/// Number of terms that a shown product matches.
fn fit(product: &ShownProduct, terms: &[Term]) -> usize {
    let facets = jangbogo_lexicon::facets(&product.title, None, []);
    let title = format!(" {} ", jangbogo_lexicon::key(&product.title));
    let fits = |term: &&Term| {
        let is_in_title = title.contains(&format!(" {} ", jangbogo_lexicon::key(&term.value)));
        let head = term.value.rsplit(' ').next().unwrap_or_default();
        is_in_title
            || term.names_kind() && title.contains(&format!(" {} ", jangbogo_lexicon::key(head)))
            || jangbogo_lexicon::Slot::from_name(term.slot).is_some_and(|slot| facets.get(slot).contains(&*term.value))
            || product.category.as_deref() == Some(&*term.value)
    };
    terms.iter().filter(fits).count()
}

/// "The rest" refers to the shown products without another reference.
fn rest(state: &mut ParseState<'_>) {
    let referenced: Vec<ProductId> = state
        .spans
        .iter()
        .filter_map(|span| if let Meaning::Products(products) = &span.meaning { Some(products.clone()) } else { None })
        .flatten()
        .collect();
    for span in state.spans.iter_mut().filter(|span| span.is(Cue::Rest)) {
        let shown = state.context.shown.iter().map(|product| &product.product_id);
        span.meaning = Meaning::Products(shown.filter(|id| !referenced.contains(id)).cloned().collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn shown_products_are_referred_to_by_position_and_by_qualities() {
        check(
            &shown(),
            &[
                ("how much is the second one", "@B"),
                ("두 번째 거 얼마예요", "@B"),
                ("마지막 거 방수예요?", "@C"),
                ("what's the difference between the first two", "@A; @B"),
                ("is the cheapest washable?", "@B"),
                ("does the red one come with a strap?", "@A"),
                ("그 해골 도시락 가방 얼마예요?", "@B"),
                ("저 파란 거 얼마예요?", "@C"),
                ("do these come with a lid?", "@A; @B; @C"),
                ("like the last one but green", "color=green; @C"),
                ("두 번째 거랑 비슷한데 초록색", "color=green; @B"),
            ],
        );
    }

    #[test]
    fn a_product_can_be_excluded() {
        check(
            &shown(),
            &[
                ("anything except the second", "-reference=B"),
                ("두 번째 거 말고", "-reference=B"),
                ("그 해골 가방은 말고 나머지랑 비슷한 거", "-reference=B; @A; @C"),
            ],
        );
        check(&fresh(), &[("the second one", ""), ("그거 말고", "")]);
    }
}
