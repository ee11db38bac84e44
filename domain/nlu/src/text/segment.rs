//! Segmentation of a message into spans: runs of words and of Hangul by language, digits and marks one by one.

use crate::cue::Cue;
use crate::span::{Meaning, Span};
use crate::text::tokens::{Kind, Token, tokens};
use crate::text::{english, korean};
use crate::vocabulary::Vocabulary;

/// Divides a normalised text into spans.
pub(crate) fn segment(vocabulary: &Vocabulary, text: &str) -> Vec<Span> {
    let tokens = tokens(text);
    let mut spans = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        let length = tokens[at..]
            .iter()
            .enumerate()
            .take_while(|(index, next)| continues_run(token.kind, *index, &tokens[at..], next))
            .count();
        match token.kind {
            Kind::Word => english::segment(vocabulary, &without_hyphens(&tokens[at..at + length]), &mut spans),
            Kind::Hangul => {
                let after_number = at > 0 && tokens[at - 1].kind == Kind::Number;
                let mut run = tokens[at..at + length].to_vec();
                if after_number && let Some(rest) = after_ordinal(run[0]) {
                    run[0].text = rest;
                }
                korean::segment(vocabulary, &run, after_number, &mut spans);
            }
            Kind::Number => spans.push(number(token, tokens.get(at + 1))),
            Kind::Mark => spans.extend(mark(&tokens, at)),
        }
        at += length.max(1);
        // The "st" of "1st" was read with its number.
        if token.kind == Kind::Number && tokens.get(at).is_some_and(is_ordinal_ending) {
            at += 1;
        }
    }
    spans
}

/// True if a token continues the run that begins with the first one: words, and the hyphens between them.
fn continues_run(kind: Kind, index: usize, run: &[Token<'_>], next: &Token<'_>) -> bool {
    match kind {
        Kind::Word => {
            let hyphen = next.text == "-" && !next.spaced && index > 0;
            let after = run.get(index + 1).is_some_and(|after| after.kind == Kind::Word && !after.spaced);
            next.kind == Kind::Word || hyphen && after
        }
        Kind::Hangul => next.kind == Kind::Hangul,
        Kind::Number | Kind::Mark => index == 0,
    }
}

fn without_hyphens<'t>(run: &[Token<'t>]) -> Vec<Token<'t>> {
    run.iter().filter(|token| token.kind == Kind::Word).copied().collect()
}

fn number(token: Token<'_>, next: Option<&Token<'_>>) -> Span {
    let value = hundredths(token.text);
    let is_ordinal = next.is_some_and(|next| is_ordinal_ending(next) || after_ordinal(*next).is_some());
    let meaning = match usize::try_from(value / 100) {
        Ok(ordinal) if is_ordinal => Meaning::Cues(vec![Cue::Ordinal(ordinal)]),
        _ => Meaning::Number(value),
    };
    Span::new(token.text, meaning, token.spaced, false)
}

fn is_ordinal_ending(token: &Token<'_>) -> bool {
    !token.spaced && matches!(token.text, "st" | "nd" | "rd" | "th")
}

/// The text after 번 or 번째 in 2번 and 2번째; none without them.
fn after_ordinal(token: Token<'_>) -> Option<&str> {
    let rest = token.text.strip_prefix("번").filter(|_| !token.spaced)?;
    Some(rest.strip_prefix('째').unwrap_or(rest))
}

/// Parses a number, in hundredths: a comma before three digits divides thousands, any other is a decimal point.
fn hundredths(text: &str) -> u64 {
    let digits = |text: &str| {
        text.bytes().filter(u8::is_ascii_digit).take(12).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let point = text.rfind(['.', ',']).filter(|&at| text.as_bytes()[at] == b'.' || text.len() - at != 4);
    let (whole, fraction) = point.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
    let fraction: String = fraction.chars().chain("00".chars()).take(2).collect();
    digits(whole) * 100 + digits(&fraction)
}

fn mark(tokens: &[Token<'_>], at: usize) -> Option<Span> {
    let token = tokens[at];
    let next_is_number =
        tokens.get(at + 1).is_some_and(|next| next.kind == Kind::Number || matches!(next.text, "£" | "$" | "€" | "₩"));
    let after_number = at > 0 && matches!(tokens[at - 1].kind, Kind::Number | Kind::Hangul);
    let meaning = match token.text {
        "£" => Meaning::Cues(vec![Cue::Currency("GBP")]),
        "$" => Meaning::Cues(vec![Cue::Currency("USD")]),
        "€" => Meaning::Cues(vec![Cue::Currency("EUR")]),
        "₩" => Meaning::Cues(vec![Cue::Currency("KRW")]),
        "¥" => Meaning::Cues(vec![Cue::Currency("JPY")]),
        "%" => Meaning::Cues(vec![Cue::Unit("")]),
        "-" | "~" if next_is_number && after_number => Meaning::Cues(vec![Cue::To]),
        "-" | "~" if !token.spaced => return None,
        "&" | "/" | "+" => Meaning::Cues(vec![Cue::Join]),
        "," | ":" | "(" | ")" | "-" | "~" | "·" => Meaning::Comma,
        "." | "!" | "?" | ";" | "\n" | "…" => Meaning::Stop,
        _ => return None,
    };
    Some(Span::new(token.text, meaning, token.spaced, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_hundredths() {
        for (text, value) in [("3", 300), ("7.50", 750), ("7,5", 750), ("1,200", 120_000), ("1,200.5", 120_050)] {
            assert_eq!(hundredths(text), value, "{text}");
        }
    }
}
