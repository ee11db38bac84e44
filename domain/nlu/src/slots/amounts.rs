//! Numbers that may be amounts of money: 2만 5천원, £7.50, three quid, a fiver, 20 to 30.

use jangbogo_events::Currency;

use crate::cue::Cue;
use crate::parse_state::ParseState;
use crate::span::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amount {
    /// In hundredths of the currency's major unit.
    pub hundredths: u64,
    /// ISO 4217; none if the text names no currency.
    pub currency: Option<&'static str>,
    /// Unit of the last part, in hundredths: a thousand in 2만 5천, ten thousand in 만.
    pub step: u64,
    /// First span, and the span after the last.
    pub start: usize,
    pub end: usize,
}

impl Amount {
    /// Converts hundredths to minor units: won and yen have no smaller unit.
    pub(crate) fn minor(hundredths: u64, currency: Currency) -> i64 {
        let minor = if matches!(currency.as_str(), "KRW" | "JPY") { hundredths / 100 } else { hundredths };
        i64::try_from(minor).unwrap_or(i64::MAX)
    }
}

pub(crate) fn read(state: &ParseState<'_>) -> Vec<Amount> {
    let mut amounts = Vec::new();
    let mut at = 0;
    while at < state.spans.len() {
        match amount(state, at) {
            Some(amount) => {
                at = amount.end;
                amounts.push(amount);
            }
            None => at += 1,
        }
    }
    amounts
}

fn amount(state: &ParseState<'_>, start: usize) -> Option<Amount> {
    let span = &state.spans[start];
    if span.role == Role::Consumed {
        return None;
    }
    if let Some(pence) = span.cue(money) {
        return Some(Amount { hundredths: pence, currency: Some("GBP"), step: 100, start, end: start + 1 });
    }
    // A sign stands before its number, a word after it.
    let sign = currency_at(state, start).filter(|_| span.text.chars().count() == 1 && !span.korean);
    let first = start + usize::from(sign.is_some());
    let (mut total, mut end, mut step) = number(state, first)?;
    while let Some((more, next, smaller)) = number(state, end).filter(|(more, _, _)| *more < step && step > 1_000) {
        (total, end, step) = (total.saturating_add(more), next, smaller);
    }
    let after = currency_at(state, end);
    let (currency, end) = match (sign, after) {
        (Some(currency), _) => (Some(currency), end),
        (None, Some("PENNY")) => {
            return Some(Amount { hundredths: total / 100, currency: Some("GBP"), step, start, end: end + 1 });
        }
        (None, Some(currency)) => (Some(currency), end + 1),
        // A Korean number from a thousand on without a currency is in won: no quantity is as large.
        (None, None) if step >= 100_000 && state.spans[end - 1].korean => (Some("KRW"), end),
        (None, None) => (None, end),
    };
    Some(Amount { hundredths: total, currency, step, start, end })
}

/// A number with its multipliers: value in hundredths, the span after it, and its unit in hundredths.
fn number(state: &ParseState<'_>, at: usize) -> Option<(u64, usize, u64)> {
    let mut value = state.number(at)?;
    let mut end = at + 1;
    let mut step = round_step(value);
    while let Some(times) = state.spans.get(end).and_then(|span| span.cue(times)) {
        value = value.saturating_mul(u64::from(times));
        step = u64::from(times) * 100;
        end += 1;
    }
    Some((value, end, step))
}

/// The largest power of ten that divides a number.
fn round_step(value: u64) -> u64 {
    let mut step = 1;
    while value > 0 && value.is_multiple_of(step * 10) {
        step *= 10;
    }
    step
}

fn currency_at(state: &ParseState<'_>, at: usize) -> Option<&'static str> {
    state.spans.get(at)?.cue(|cue| match cue {
        Cue::Currency(currency) => Some(currency),
        _ => None,
    })
}

fn money(cue: Cue) -> Option<u64> {
    match cue {
        Cue::Money(pence) => Some(u64::from(pence)),
        _ => None,
    }
}

pub(crate) fn times(cue: Cue) -> Option<u32> {
    match cue {
        Cue::Times(times) => Some(times),
        _ => None,
    }
}
