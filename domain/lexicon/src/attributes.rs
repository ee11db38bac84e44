//! Slots and values of a catalogue's attributes.

use crate::phrases::Phrases;
use crate::values::Slot;
use crate::words;

/// The slot of an attribute by its name, in any catalogue's spelling: `Colour`, `attr_t_product_colour`.
///
/// Colour and material may belong to a part (`housing_material`, `cable_colour`): a product with a red cable is red in
/// part. A number of colours is not a colour, and only a plain `size` is a size: `screen_size` and `paper_size` are
/// measures.
pub(crate) fn slot_of_attribute(name: &str) -> Option<Slot> {
    let key = words::key(name);
    let key = key.strip_prefix("attr ").unwrap_or(&key);
    let key = key.strip_prefix("t ").unwrap_or(key);
    if key.split(' ').any(|word| word == "number" || word == "n" || word == "b") {
        return None;
    }
    match key.rsplit(' ').next()? {
        "color" | "colour" => Some(Slot::Color),
        "material" => Some(Slot::Material),
        "pattern" => Some(Slot::Pattern),
        "style" => Some(Slot::Style),
        "occasion" | "season" => Some(Slot::Occasion),
        "size" if key == "size" => Some(Slot::Size),
        _ => None,
    }
}

/// Calls `each` with the values in an attribute's text: `Ok` with the canonical name of a value of the lexicon, `Err`
/// with any other value in lower case. Parts are divided by commas, semicolons and slashes; numbers and flags are no
/// values.
pub(crate) fn read(
    slot: Slot,
    text: &str,
    meanings: &Phrases<Vec<(Slot, &'static str)>>,
    mut each: impl FnMut(Result<&'static str, String>),
) {
    for part in text.split([',', ';', '/', '|']).map(str::trim) {
        if let Some(name) = crate::canonical(slot, part) {
            each(Ok(name));
            continue;
        }
        let mut words = Vec::new();
        words::split(part, |word| words.push(words::singular(word).into_owned()));
        let mut is_known = false;
        let mut at = 0;
        while at < words.len() {
            let Some((count, meaning)) = meanings.longest(&words[at..]) else {
                at += 1;
                continue;
            };
            for (_, name) in meaning.iter().filter(|(other, _)| *other == slot) {
                each(Ok(name));
                is_known = true;
            }
            at += count;
        }
        let lower = part.to_lowercase();
        let is_a_name =
            lower.chars().any(char::is_alphabetic) && lower.len() <= 64 && lower != "true" && lower != "false";
        if !is_known && is_a_name {
            each(Err(lower));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_an_attribute_names_its_slot() {
        let cases = [
            ("color", Some(Slot::Color)),
            ("Colour", Some(Slot::Color)),
            ("attr_t_product_colour", Some(Slot::Color)),
            ("attr_t_printing_colours", Some(Slot::Color)),
            ("attr_b_colour", None),
            ("attr_t_display_number_of_colours", None),
            ("attr_t_housing_material", Some(Slot::Material)),
            ("attr_t_printing_material_shelf_life", None),
            ("size", Some(Slot::Size)),
            ("attr_t_maximum_print_size", None),
            ("season", Some(Slot::Occasion)),
            ("", None),
        ];
        for (name, slot) in cases {
            assert_eq!(slot_of_attribute(name), slot, "{name}");
        }
    }
}
