//! The grounding check of a reply: statements about products, prices and stock must be in the recommendation.
//!
//! Titles are replaced by placeholders first, so that each sentence is about the products it names; then, by sentence:
//!
//! - `amounts`: every number is the price or stock of the product beside it, or a requested limit that is said as one;
//! - `claims`: no discounts, delivery and the like, no stock but the recommendation's, no product that is not named;
//! - `mentions`: product kinds, colours and materials are those of recommended products, unless they are denied,
//!   offered to be looked for, or requested;
//! - `titles`: text that is written like a title is one of the recommendation's.
//!
//! The check is conservative: it refuses some true replies in unusual words, and the template reply is sent instead.

mod amounts;
mod claims;
mod mentions;
mod titles;

use std::ops::RangeInclusive;

use jangbogo_events::{RecommendationGenerated, RecommendedProduct};

/// A statement of a reply that the recommendation does not support.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ungrounded {
    /// A number or an amount that is not in the recommendation, or belongs to another product.
    #[error("the recommendation does not have the number {0:?} there")]
    Number(String),
    /// Text that is written like a title and is none of the recommendation.
    #[error("the recommendation has no product titled {0:?}")]
    Title(String),
    /// A product kind, colour or material that no recommended product has.
    #[error("no recommended product is {0:?}")]
    Mention(String),
    /// A false statement about stock.
    #[error("the recommendation contradicts the stock claim {0:?}")]
    Stock(String),
    /// A discount, delivery, products that are not named.
    #[error("the recommendation does not support the claim {0:?}")]
    Claim(String),
}

/// Checks a reply, or some of its sentences, against its recommendation. Fails with the first unsupported statement.
pub(super) fn check(text: &str, recommendation: &RecommendationGenerated) -> Result<(), Ungrounded> {
    let masked = mask(text, recommendation);
    let mut antecedent = "";
    for text in sentences(&masked) {
        let sentence = Sentence { text, antecedent, recommendation };
        let rest = amounts::check(&sentence)?;
        claims::check(&sentence)?;
        let rest = Sentence { text: &rest, ..sentence };
        mentions::check(&rest)?;
        titles::check(&rest)?;
        antecedent = sentence.subject();
    }
    Ok(())
}

/// Private-use characters: each replaces the title of one product.
const PLACEHOLDERS: RangeInclusive<char> = '\u{E000}'..='\u{F8FF}';

fn is_placeholder(character: char) -> bool {
    PLACEHOLDERS.contains(&character)
}

/// A sentence with placeholders for titles.
#[derive(Clone, Copy)]
struct Sentence<'a> {
    text: &'a str,
    /// The last sentence before that names products, to which an "it" would refer.
    antecedent: &'a str,
    recommendation: &'a RecommendationGenerated,
}

impl<'a> Sentence<'a> {
    /// The text that names the products it is about: itself, or the antecedent.
    fn subject(&self) -> &'a str {
        if self.text.contains(is_placeholder) { self.text } else { self.antecedent }
    }

    /// The products that a part of it names; several may have one title.
    fn products(&self, part: &str) -> impl Iterator<Item = &'a RecommendedProduct> + use<'a> {
        let named: Vec<usize> = part.chars().filter_map(item_index).collect();
        let items = &self.recommendation.items;
        items.iter().filter(move |item| named.iter().any(|&index| items[index].title == item.title))
    }
}

fn item_index(placeholder: char) -> Option<usize> {
    is_placeholder(placeholder).then(|| (u32::from(placeholder) - u32::from(*PLACEHOLDERS.start())) as usize)
}

/// The text without reasons, which the recommendation words itself, and with placeholders for titles.
fn mask(text: &str, recommendation: &RecommendationGenerated) -> String {
    let mut masked = text.replace(is_placeholder, " ");
    let mut reasons: Vec<&str> =
        recommendation.items.iter().flat_map(|item| item.reason.split("; ").chain([&*item.reason])).collect();
    longest_first(&mut reasons, |reason| reason);
    for reason in reasons {
        masked = masked.replace(reason, " ");
    }
    let mut titles: Vec<(usize, &str)> = recommendation.items.iter().map(|item| &*item.title).enumerate().collect();
    longest_first(&mut titles, |(_, title)| title);
    for (index, title) in titles {
        let offset = u32::try_from(index).ok();
        let placeholder = offset.and_then(|offset| char::from_u32(u32::from(*PLACEHOLDERS.start()) + offset));
        masked = masked.replace(title, &placeholder.unwrap_or(' ').to_string());
    }
    masked
}

/// Longest first, so that a text is not replaced inside a longer one.
fn longest_first<T>(texts: &mut [T], text: impl Fn(&T) -> &str) {
    texts.sort_by_key(|one| std::cmp::Reverse(text(one).len()));
}

/// The sentences of each line, without the numbers of a list.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let digits = line.trim_start_matches(|character: char| character.is_ascii_digit());
        let mut rest = digits.strip_prefix(". ").filter(|rest| rest.starts_with(is_placeholder)).unwrap_or(line);
        while let Some(end) = end_of_sentence(rest) {
            sentences.push(&rest[..end]);
            rest = &rest[end..];
        }
        sentences.push(rest);
    }
    sentences
}

/// End of the first whole sentence, in bytes. White space must follow its full stop, so that `1.65` is not cut.
pub(super) fn end_of_sentence(text: &str) -> Option<usize> {
    let mut before = None;
    for (position, character) in text.char_indices() {
        if character.is_whitespace() && (character == '\n' || matches!(before, Some('.' | '!' | '?' | '…' | '。'))) {
            return Some(position + character.len_utf8());
        }
        before = Some(character);
    }
    None
}

/// The words of a text in lower case with one space before and behind each, to look for phrases in.
fn spaced(text: &str) -> String {
    let mut spaced = String::from(" ");
    jangbogo_lexicon::split(text, |word| {
        spaced.push_str(word);
        spaced.push(' ');
    });
    spaced
}

/// The first of these English phrases that occurs in a text that was [`spaced`].
fn find_phrase<'p>(spaced: &str, phrases: &[&'p str]) -> Option<&'p str> {
    phrases.iter().copied().find(|phrase| spaced.contains(&format!(" {phrase} ")))
}

#[cfg(test)]
mod tests;
