//! Chance that comes out the same for the same seed.

/// A small generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % n).unwrap_or_default()
    }

    /// The same items in another order.
    pub fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
        items
    }

    /// The text with one slip of the keyboard in it: two letters changed places, or one is missing.
    pub fn misspelled(&mut self, text: &str) -> Option<String> {
        let letters: Vec<char> = text.chars().collect();
        let is_inside = |i: &usize| letters[*i].is_ascii_alphabetic();
        let inside: Vec<usize> = (1..letters.len().saturating_sub(1))
            .filter(is_inside)
            .collect();
        let at = *inside.get(self.below(inside.len()))?;
        let mut slip = letters.clone();
        let next = at + 1;
        if slip[next].is_ascii_alphabetic() && slip[next] != slip[at] && self.below(2) == 0 {
            slip.swap(at, next);
        } else {
            slip.remove(at);
        }
        let slip: String = slip.into_iter().collect();
        (slip != text).then_some(slip)
    }
}
