//! Whether an answer says what is so: what it says of products, prices and stock must stand in the recommendation.
//!
//! It is read sentence by sentence. Titles are taken out first, so that a sentence is about the products it names; then
//!
//! - `amounts`: every number is a price of the product it stands beside, a limit that was asked for, said as a limit, or
//!   a stock of that product;
//! - `claims`: nothing is said of discounts, delivery and the like, nothing of stock but what the recommendation has, and
//!   the shop has nothing but products that are named;
//! - `things`: kinds of things, colours and materials are those of the products recommended, unless they are denied,
//!   offered to be looked for, or asked for;
//! - `names`: what is written like a name is one of theirs.
//!
//! It is careful: an answer that is so but said in other words is refused at times, and ours is sent instead.

mod amounts;
mod claims;
mod names;
mod things;

use std::ops::RangeInclusive;

use jangbogo_events::{RecommendationGenerated, RecommendedProduct};

/// Something that an answer says and the recommendation does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ungrounded {
    /// A number or an amount that is none of the recommendation's, or another product's.
    #[error("the number {0:?} is not what the recommendation says there")]
    Number(String),
    /// What is written like a name and is no title of this recommendation.
    #[error("{0:?} is no title of the recommendation's")]
    Title(String),
    /// A kind of thing, a colour or a material that no product of the recommendation has.
    #[error("no product of the recommendation is {0:?}")]
    Thing(String),
    /// Words about stock that are not so.
    #[error("it speaks of stock: {0:?}")]
    Stock(String),
    /// Words about what the recommendation says nothing of: a discount, delivery, products that are not named.
    #[error("the recommendation says nothing of {0:?}")]
    Claim(String),
}

/// Checks an answer, or sentences of one, against its recommendation.
///
/// # Errors
/// With the first thing that is not so.
pub fn check(text: &str, given: &RecommendationGenerated) -> Result<(), Ungrounded> {
    let marked = mark(text, given);
    let mut earlier = "";
    for text in sentences(&marked) {
        let sentence = Sentence { text, earlier, given };
        let rest = amounts::check(&sentence)?;
        claims::check(&sentence)?;
        let rest = Sentence { text: &rest, ..sentence };
        things::check(&rest)?;
        names::check(&rest)?;
        earlier = sentence.subject();
    }
    Ok(())
}

/// Characters that no text means anything by: each stands for a product in the place of its title.
const MARKS: RangeInclusive<char> = '\u{E000}'..='\u{F8FF}';

fn is_mark(character: char) -> bool {
    MARKS.contains(&character)
}

/// A sentence with marks in the places of titles.
#[derive(Clone, Copy)]
struct Sentence<'a> {
    text: &'a str,
    /// The marks of the sentence before, to which an "it" would refer.
    earlier: &'a str,
    given: &'a RecommendationGenerated,
}

impl<'a> Sentence<'a> {
    /// What it is about: what names products, in it or before it.
    fn subject(&self) -> &'a str {
        if self.text.contains(is_mark) { self.text } else { self.earlier }
    }

    /// The products that a piece of it names; several may have one title.
    fn products(&self, piece: &str) -> impl Iterator<Item = &'a RecommendedProduct> + use<'a> {
        let named: Vec<usize> = piece.chars().filter_map(place).collect();
        let items = &self.given.items;
        items.iter().filter(move |item| named.iter().any(|&place| items[place].title == item.title))
    }
}

fn place(mark: char) -> Option<usize> {
    is_mark(mark).then(|| (u32::from(mark) - u32::from(*MARKS.start())) as usize)
}

/// The text without reasons, which are the recommendation's own words, and with marks for titles.
fn mark(text: &str, given: &RecommendationGenerated) -> String {
    let mut marked = text.replace(is_mark, " ");
    let mut reasons: Vec<&str> =
        given.items.iter().flat_map(|item| item.reason.split("; ").chain([&*item.reason])).collect();
    longest_first(&mut reasons, |reason| reason);
    for reason in reasons {
        marked = marked.replace(reason, " ");
    }
    let mut titles: Vec<(usize, &str)> = given.items.iter().map(|item| &*item.title).enumerate().collect();
    longest_first(&mut titles, |(_, title)| title);
    for (place, title) in titles {
        let mark = u32::try_from(place).ok().and_then(|place| char::from_u32(u32::from(*MARKS.start()) + place));
        marked = marked.replace(title, &mark.unwrap_or(' ').to_string());
    }
    marked
}

/// A text that is a part of another must not be taken out of it.
fn longest_first<T>(texts: &mut [T], text: impl Fn(&T) -> &str) {
    texts.sort_by_key(|one| std::cmp::Reverse(text(one).len()));
}

/// Lines, without the numbers of a list, and sentences of lines.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    for line in text.lines() {
        let digits = line.trim_start_matches(|character: char| character.is_ascii_digit());
        let mut rest = digits.strip_prefix(". ").filter(|rest| rest.starts_with(is_mark)).unwrap_or(line);
        while let Some(end) = end_of_sentence(rest) {
            sentences.push(&rest[..end]);
            rest = &rest[end..];
        }
        sentences.push(rest);
    }
    sentences
}

/// Where the first whole sentence of a text ends: behind a mark that white space follows, so that `1.65` is not cut.
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

/// True if one of these English phrases occurs in a text that was [`spaced`].
fn says<'p>(spaced: &str, phrases: &[&'p str]) -> Option<&'p str> {
    phrases.iter().copied().find(|phrase| spaced.contains(&format!(" {phrase} ")))
}

#[cfg(test)]
mod tests;
