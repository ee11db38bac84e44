//! Segmentation of Korean text into morphemes by the path of least cost.
//!
//! Korean joins particles and endings to words, and shoppers leave out spaces. An unknown syllable has a high cost, a
//! particle may not begin a word, and a form of one syllable must stand alone except for particles.

use jangbogo_lexicon::hangul::PARTICLES;
use jangbogo_lexicon::numbers::{native_korean, sino_korean};

use crate::cue::Cue;
use crate::span::{Meaning, Span};
use crate::text::tokens::Token;
use crate::vocabulary::Vocabulary;
use crate::vocabulary::dictionary::Entry;

/// Class of the last morpheme, which determines the possible next ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A form of two syllables or more.
    Long,
    /// A cue of one syllable.
    Short,
    /// A name of one syllable.
    Noun,
    /// A particle or an ending.
    Ending,
    Number,
    /// A counter, unit of measure or currency.
    Counted,
    Unknown,
}

const CLASSES: usize = 7;

/// Cost of an unreachable state.
const UNREACHABLE: u32 = u32::MAX / 2;

#[derive(Clone, Copy)]
enum Morpheme {
    Content,
    Cue,
    Ending,
    Number(u64),
    Unknown,
}

/// Last step of the path of least cost to a position with a class.
#[derive(Clone, Copy)]
struct Step {
    cost: u32,
    from: usize,
    class: usize,
    morpheme: Morpheme,
}

/// Appends the spans of a run of Hangul. `after_number` is true if digits stand right before it.
pub(crate) fn segment(vocabulary: &Vocabulary, run: &[Token<'_>], after_number: bool, spans: &mut Vec<Span>) {
    let mut text = Vec::new();
    let mut spaced = Vec::new();
    for token in run {
        for (index, character) in token.text.chars().enumerate() {
            text.push(character);
            spaced.push(index == 0 && token.spaced);
        }
    }
    let reader = Reader { vocabulary, text: &text, spaced: &spaced };
    let path = reader.best_path(if after_number { Class::Number } else { Class::Ending });
    for (from, to, morpheme) in path {
        reader.push(from, to, morpheme, spans);
    }
}

struct Reader<'r> {
    vocabulary: &'r Vocabulary,
    text: &'r [char],
    spaced: &'r [bool],
}

impl Reader<'_> {
    /// Morphemes of the path of least cost, in the order of the text.
    fn best_path(&self, first: Class) -> Vec<(usize, usize, Morpheme)> {
        let unreached = Step { cost: UNREACHABLE, from: 0, class: 0, morpheme: Morpheme::Unknown };
        let mut steps = vec![[unreached; CLASSES]; self.text.len() + 1];
        steps[0][first as usize].cost = 0;
        let mut form = String::new();
        for from in 0..self.text.len() {
            if steps[from].iter().all(|step| step.cost >= UNREACHABLE) {
                continue;
            }
            self.try_unknown(from, &mut steps);
            self.try_numbers(from, &mut steps);
            form.clear();
            let mut crossed = 0_u32;
            for length in 1..=self.vocabulary.korean.longest(self.text[from]).min(self.text.len() - from) {
                let at = from + length - 1;
                form.push(self.text[at]);
                if length > 1 && self.spaced[at] {
                    crossed |= 1_u32.checked_shl(u32::try_from(length - 1).unwrap_or(u32::MAX)).unwrap_or(u32::MAX);
                }
                if let Some(entry) = self.vocabulary.korean.get(&form) {
                    self.try_entry(entry, &form, from, crossed, &mut steps);
                }
            }
        }
        self.trace(&steps)
    }

    /// Traces the path back from the end; unknown syllables of one word are joined.
    fn trace(&self, steps: &[[Step; CLASSES]]) -> Vec<(usize, usize, Morpheme)> {
        let mut path: Vec<(usize, usize, Morpheme)> = Vec::new();
        let mut at = steps.len() - 1;
        let last = steps[at].iter().enumerate().min_by_key(|(_, step)| step.cost);
        let mut class = last.map_or(0, |(class, _)| class);
        while at > 0 {
            let step = steps[at][class];
            match path.last_mut() {
                Some((from, _, Morpheme::Unknown))
                    if matches!(step.morpheme, Morpheme::Unknown) && *from == at && !self.begins_word(at) =>
                {
                    *from = step.from;
                }
                _ => path.push((step.from, at, step.morpheme)),
            }
            (at, class) = (step.from, step.class);
        }
        path.reverse();
        path
    }

    fn begins_word(&self, at: usize) -> bool {
        at == 0 || self.spaced.get(at).copied().unwrap_or(true)
    }

    fn try_unknown(&self, from: usize, steps: &mut [[Step; CLASSES]]) {
        for class in 0..CLASSES {
            let cost = match class {
                _ if self.begins_word(from) => 14,
                _ if class == Class::Unknown as usize => 10,
                _ if class == Class::Short as usize || class == Class::Noun as usize => continue,
                _ if class == Class::Ending as usize => 18,
                _ => 20,
            };
            relax(steps, (from, class), from + 1, Class::Unknown, cost, Morpheme::Unknown);
        }
    }

    fn try_numbers(&self, from: usize, steps: &mut [[Step; CLASSES]]) {
        let rest = &self.text[from..];
        let native = native_korean(rest).map(|(length, value)| (length, u64::from(value)));
        for (length, value) in native.into_iter().chain(sino_korean(rest)) {
            if !self.follows_number(from + length) {
                continue;
            }
            for class in 0..CLASSES {
                if self.begins_word(from) || class == Class::Number as usize || class == Class::Counted as usize {
                    relax(steps, (from, class), from + length, Class::Number, 6, Morpheme::Number(value));
                }
            }
        }
    }

    /// True if a counter, a currency or a unit of measure begins here.
    fn follows_number(&self, at: usize) -> bool {
        let Some(&first) = self.text.get(at) else { return false };
        let longest = self.vocabulary.korean.longest(first).min(self.text.len() - at);
        (1..=longest).any(|length| {
            let form: String = self.text[at..at + length].iter().collect();
            let entry = self.vocabulary.korean.get(&form);
            entry.is_some_and(|entry| entry.cues.iter().any(|cue| cue.follows_a_number() && *cue != Cue::Band))
        })
    }

    fn try_entry(&self, entry: &Entry, form: &str, from: usize, crossed: u32, steps: &mut [[Step; CLASSES]]) {
        let length = form.chars().count();
        let begins_word = self.begins_word(from);
        let spaces = (crossed & entry.gaps).count_ones() * 2 + (crossed & !entry.gaps).count_ones() * 9;
        let short = length == 1;
        let class_of = |short_class| if short { short_class } else { Class::Long };
        for class in 0..CLASSES {
            let after = |previous: Class| class == previous as usize;
            let number = after(Class::Number);
            // After a short name only particles may follow: 달 is not "moon" in 달까.
            let particle = !after(Class::Noun) || PARTICLES.contains(&form);
            if entry.ending.is_some() && !begins_word && crossed == 0 && particle {
                relax(steps, (from, class), from + length, Class::Ending, 5, Morpheme::Ending);
            }
            // A counter may follow another (네 개 세트), a multiplier only a number (세 개 천원).
            let multiplies = entry.cues.iter().any(|cue| matches!(cue, Cue::Times(_)));
            let counts = entry.cues.iter().any(|cue| matches!(cue, Cue::Counter(_) | Cue::Unit(_) | Cue::Band));
            let prices = entry.cues.iter().any(|cue| matches!(cue, Cue::Currency(_)));
            if multiplies && number {
                relax(steps, (from, class), from + length, Class::Number, 4 + spaces, Morpheme::Cue);
            }
            if counts && (number || after(Class::Counted)) || prices && number {
                relax(steps, (from, class), from + length, Class::Counted, 4 + spaces, Morpheme::Cue);
            }
            let glued = match class {
                _ if begins_word => 0,
                _ if after(Class::Unknown) => 13,
                _ if after(Class::Ending) => 4,
                _ => 2,
            };
            if short && !begins_word && !(after(Class::Long) || number || after(Class::Counted)) {
                continue;
            }
            if !entry.terms.is_empty() {
                relax(
                    steps,
                    (from, class),
                    from + length,
                    class_of(Class::Noun),
                    8 + glued + spaces,
                    Morpheme::Content,
                );
            }
            if entry.cues.iter().any(|cue| !cue.follows_a_number()) {
                let filler = u32::from(!entry.cues.contains(&Cue::Filler));
                relax(
                    steps,
                    (from, class),
                    from + length,
                    class_of(Class::Short),
                    8 - filler + glued + spaces,
                    Morpheme::Cue,
                );
            }
        }
    }

    fn push(&self, from: usize, to: usize, morpheme: Morpheme, spans: &mut Vec<Span>) {
        let text: String = self.text[from..to].iter().collect();
        let entry = self.vocabulary.korean.get(&text);
        let meaning = match morpheme {
            Morpheme::Content => Meaning::Terms(entry.map(|entry| entry.terms.clone()).unwrap_or_default()),
            Morpheme::Cue => Meaning::Cues(entry.map(|entry| entry.cues.clone()).unwrap_or_default()),
            Morpheme::Ending => {
                let cues = entry.and_then(|entry| entry.ending.clone()).unwrap_or_default();
                if cues.is_empty() {
                    return;
                }
                Meaning::Cues(cues)
            }
            Morpheme::Number(value) => Meaning::Number(value.saturating_mul(100)),
            Morpheme::Unknown => {
                let correction = self.vocabulary.korean_spelling.correct(&text);
                match correction.and_then(|form| self.vocabulary.korean.get(form)) {
                    Some(entry) if text.chars().count() > 2 => Meaning::Terms(entry.terms.clone()),
                    _ => Meaning::Other,
                }
            }
        };
        spans.push(Span::new(text, meaning, self.begins_word(from), true));
    }
}

/// Replaces the step to `to` with class `last` if the path over (`from`, `class`) costs less.
fn relax(
    steps: &mut [[Step; CLASSES]],
    (from, class): (usize, usize),
    to: usize,
    last: Class,
    step_cost: u32,
    morpheme: Morpheme,
) {
    let cost = steps[from][class].cost.saturating_add(step_cost);
    let step = &mut steps[to][last as usize];
    if cost < step.cost.min(UNREACHABLE) {
        *step = Step { cost, from, class, morpheme };
    }
}
