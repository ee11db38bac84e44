//! Products that were shown and are spoken of: the second one, 그거, that red clock, the cheapest.

use jangbogo_events::ProductId;

use crate::cue::Cue;
use crate::parse_state::{ParseState, ShownProduct};
use crate::span::{Meaning, Role, Span, Term};

/// Turns pieces that speak of shown products into these products.
pub fn read(state: &mut ParseState<'_>) {
    if state.context.shown.is_empty() {
        return;
    }
    let mut at = 0;
    while at < state.spans.len() {
        if state.spans[at].role == Role::Open
            && let Some((products, end)) = spoken_of(state, at)
            && !products.is_empty()
        {
            // The words of a question stay what they are: "does that", "is the".
            let kept = usize::from(state.spans[at].is(Cue::Ask));
            state.use_up(at + kept, end.max(at + kept));
            let korean = state.spans[at].korean;
            let spaced = state.spans[at].spaced;
            state.spans.insert(at + kept, Span::new("", Meaning::Products(products), spaced, korean));
            at = end + 1;
        } else {
            at += 1;
        }
    }
    others(state);
    like_the_only_one(state);
}

/// 비슷한데 유리로: like the only one that was shown.
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

/// The products that the item at a place speaks of, and the item after what says so.
fn spoken_of(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
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
    // "Both" and 둘 다 of two qualities that were named speaks of these.
    let before = state.spans[..at].iter().rev().find(|span| !span.is_filler() || span.is(Cue::One));
    let of_qualities = before.is_some_and(|before| before.term().is_some() || before.is(Cue::One));
    if span.is(Cue::Both) && !of_qualities && !state.has(Cue::Cheapest) && !state.has(Cue::Dearest) {
        return Some((ids(&shown[..shown.len().min(2)]), at + 1));
    }
    pointed_at(state, at)
}

/// What a "this" or "that" points at.
fn pointed_at(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
    let shown = &state.context.shown;
    let span = &state.spans[at];
    let word = if span.korean { "" } else { span.text.rsplit(' ').next().unwrap_or_default().trim_end_matches("'s") };
    let asking = span.is(Cue::Ask);
    let many = span.is(Cue::These) || asking && matches!(word, "these" | "those" | "they" | "them");
    let points = many || span.is(Cue::This) || span.is(Cue::That) || asking && matches!(word, "this" | "that" | "it");
    let the_one = word == "the";
    if !points && !the_one {
        return named_by_its_qualities(state, at);
    }
    let pronoun = matches!(word, "it" | "its" | "they" | "them")
        || span.korean && span.text.chars().count() > 1 && span.text.ends_with(['거', '것', '건', '게', '걸']);
    let nothing = (Vec::new(), at + 1, false);
    let described = if pronoun { nothing.clone() } else { description(&state.spans, at + 1) };
    let only_words = described.0.iter().all(|term| term.slot.is_empty());
    let titled = shown.iter().any(|product| fit(product, &described.0) > 0);
    let (terms, end, ends_in_one) = if !titled && (points || only_words && !described.2) { nothing } else { described };
    let plural = many || state.spans.get(end).is_some_and(|span| span.is(Cue::Plural));
    let many = plural && terms.is_empty();
    if terms.is_empty() {
        let vague = the_one || matches!(word, "it" | "its" | "that" | "they" | "them");
        if vague && !ends_in_one {
            // "It" speaks of a product only in a question about one.
            let question = state.asks() || state.spans.first().is_some_and(|first| first.is(Cue::Question));
            let named_before = state.spans[..at].iter().any(Span::is_named);
            let measured = word == "that" && at > 0 && state.spans[at - 1].is(Cue::Same);
            let asked =
                measured || !the_one && !named_before && (asking || word != "that" && question && state.has(Cue::Ask));
            return asked.then(|| (all_or_first(shown, many), at + 1));
        }
        if the_one {
            return None;
        }
        // "It" and 그거 take up what was named before, "this house" is not for sale.
        let next = state.spans.get(end);
        let else_named = next.is_some_and(|next| next.meaning == Meaning::Word) && !span.korean && !many;
        let taken_up = span.is(Cue::That) && state.spans[..at].iter().any(Span::is_named);
        if else_named || taken_up {
            return None;
        }
        let alone = span.korean && span.text.chars().count() == 1 && !ends_in_one && !state.spans[at].is(Cue::These);
        if alone && shown.len() != 1 {
            return None;
        }
        return Some((all_or_first(shown, many), end));
    }
    let question = state.asks() || state.has(Cue::Ask);
    let inverted = at > 0 && state.spans[at - 1].is(Cue::Question);
    let thing = terms.iter().any(Term::is_thing);
    let asked =
        question && (ends_in_one || asking || inverted || thing && fits_one(shown, &terms)) && !state.has(Cue::Sell);
    // "The red one" is one that was shown; "the red ones" may be others.
    let single =
        ends_in_one && matches!(state.spans[end - 1].text.as_str(), "one" | "one's") && fits_one(shown, &terms);
    let bought = ends_in_one && state.has(Cue::Buy);
    if the_one && !(asked || single || bought) {
        return None;
    }
    let scores: Vec<usize> = shown.iter().map(|product| fit(product, &terms)).collect();
    let best = scores.iter().copied().max().filter(|best| *best > 0)?;
    let fitting =
        shown.iter().zip(scores).filter(|(_, score)| *score == best).map(|(product, _)| product.product_id.clone());
    Some((fitting.take(if plural { 10 } else { 1 }).collect(), end))
}

/// "How much is a white frame?", asked of frames that were shown; "I'll take one with a cat".
fn named_by_its_qualities(state: &ParseState<'_>, at: usize) -> Option<(Vec<ProductId>, usize)> {
    state.spans[at].term()?;
    let asked = state.has(Cue::Ask) && !state.has(Cue::Sell) && !state.has(Cue::Find);
    if !asked && !state.has(Cue::Buy) {
        return None;
    }
    let (terms, end, ends_in_one) = description(&state.spans, at);
    let thing = terms.iter().any(Term::is_thing);
    if !(thing && terms.len() > 1 || ends_in_one) || !fits_one(&state.context.shown, &terms) {
        return None;
    }
    let shown = state.context.shown.iter().find(|product| fit(product, &terms) == terms.len())?;
    Some((vec![shown.product_id.clone()], end))
}

/// Whether one shown product alone is all of these.
fn fits_one(shown: &[ShownProduct], terms: &[Term]) -> bool {
    shown.iter().filter(|product| fit(product, terms) == terms.len()).count() == 1
}

fn all_or_first(shown: &[ShownProduct], all: bool) -> Vec<ProductId> {
    shown.iter().take(if all { 10 } else { 1 }).map(|product| product.product_id.clone()).collect()
}

/// The terms of a noun phrase, the item after it, and whether it ends in "one".
fn description(spans: &[Span], start: usize) -> (Vec<Term>, usize, bool) {
    let mut terms = Vec::new();
    let mut end = start;
    let mut ends_in_one = false;
    for (at, span) in spans.iter().enumerate().skip(start).take(6) {
        if let Some(term) = span.term() {
            terms.push(term.clone());
            end = at + 1;
            if term.is_thing() && !spans.get(at + 1).is_some_and(Span::is_thing) {
                break;
            }
        } else if span.meaning == Meaning::Word && !span.korean {
            // A word of its title names it as well: the potting shed one.
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

/// How many of these terms a shown product is.
fn fit(product: &ShownProduct, terms: &[Term]) -> usize {
    let facets = jangbogo_lexicon::facets(&product.title, None, []);
    let title = format!(" {} ", jangbogo_lexicon::key(&product.title));
    let fits = |term: &&Term| {
        let named = title.contains(&format!(" {} ", jangbogo_lexicon::key(&term.value)));
        let head = term.value.rsplit(' ').next().unwrap_or_default();
        named
            || term.is_thing() && title.contains(&format!(" {} ", jangbogo_lexicon::key(head)))
            || jangbogo_lexicon::Slot::from_name(term.slot).is_some_and(|slot| facets.get(slot).contains(&*term.value))
            || product.category.as_deref() == Some(&*term.value)
    };
    terms.iter().filter(fits).count()
}

/// "The rest" are those shown that nothing else speaks of.
fn others(state: &mut ParseState<'_>) {
    let named: Vec<ProductId> = state
        .spans
        .iter()
        .filter_map(|span| if let Meaning::Products(products) = &span.meaning { Some(products.clone()) } else { None })
        .flatten()
        .collect();
    for span in state.spans.iter_mut().filter(|span| span.is(Cue::Rest)) {
        let shown = state.context.shown.iter().map(|product| &product.product_id);
        span.meaning = Meaning::Products(shown.filter(|id| !named.contains(id)).cloned().collect());
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, fresh, shown};

    #[test]
    fn shown_products_are_spoken_of_by_place_and_by_looks() {
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
    fn a_product_can_be_left_out() {
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
