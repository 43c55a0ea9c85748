//! The price of a model's tokens, for events that say how many but not for how much.

use crate::model::event::AuthEvent;
use crate::model::money::Money;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Tokens that a price is for.
const TOKENS: f64 = 1e6;

/// Prices by model. Unit: money for a million tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    exact: BTreeMap<String, Money>,
    /// By what a model's name begins with, the longest first.
    prefixes: Vec<(String, Money)>,
}

impl Prices {
    /// Prices by the name of a model, or by the beginning of names, with a `*` behind it.
    pub fn new(prices: impl IntoIterator<Item = (String, Money)>) -> Self {
        let mut all = Self::default();
        for (name, price) in prices {
            let name = name.to_ascii_lowercase();
            match name.strip_suffix('*') {
                Some(prefix) => all.prefixes.push((prefix.to_owned(), price)),
                None => drop(all.exact.insert(name, price)),
            }
        }
        all.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        all
    }

    /// Sets the spend of an event that has a model with a price, tokens, and no spend of its own.
    pub fn apply(&self, event: &mut AuthEvent<'_>) {
        let (None, Some(model), Some(tokens)) = (event.spend, &event.model, event.tokens) else {
            return;
        };
        event.spend =
            self.of(model).and_then(|price| Money::of(price.units() * tokens as f64 / TOKENS));
    }

    fn of(&self, model: &str) -> Option<Money> {
        let lower = lower(model);
        let model = lower.as_ref();
        let by_prefix = || self.prefixes.iter().find(|(prefix, _)| model.starts_with(prefix));
        self.exact.get(model).copied().or_else(|| by_prefix().map(|(_, price)| *price))
    }
}

/// A text without capitals; most models have none.
fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{AuthEvent, Money, Prices};
    use crate::model::time::EventTime;
    use std::borrow::Cow;

    fn spend(model: &'static str, tokens: Option<u64>, own: Option<f64>) -> Option<f64> {
        let price = |name: &str, price| (name.to_owned(), Money::of(price).unwrap_or_default());
        let prices = Prices::new([price("gpt-4o", 2.5), price("gpt-4*", 30.0), price("*", 1.0)]);
        let mut event = AuthEvent::new(EventTime::from_ms(0), Cow::Borrowed("k"));
        event.model = Some(Cow::Borrowed(model));
        (event.tokens, event.spend) = (tokens, own.and_then(Money::of));
        prices.apply(&mut event);
        event.spend.map(Money::units)
    }

    #[test]
    fn a_name_comes_before_the_longest_beginning_of_it() {
        let million = Some(1_000_000);
        assert_eq!(spend("gpt-4o", million, None), Some(2.5));
        assert_eq!(spend("GPT-4o", million, None), Some(2.5));
        assert_eq!(spend("gpt-4-turbo", million, None), Some(30.0));
        assert_eq!(spend("claude", Some(500), None), Some(0.0005));
    }

    #[test]
    fn the_spend_that_an_event_states_stands_and_without_tokens_there_is_none() {
        assert_eq!(spend("gpt-4o", Some(1_000_000), Some(7.0)), Some(7.0));
        assert_eq!(spend("gpt-4o", None, None), None);
    }
}
