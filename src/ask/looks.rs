//! Who may look at whom in one run: a mask's rule and a condition's edges, on the tokens there are.

use std::sync::Arc;

use super::edit::{Edge, Edit};
use super::mask::MaskRule;
use super::tokens::{LayerRange, TokenGroup, TokenPart, Tokens};
use crate::units::{Role, Span};

/// Which of S tokens may look at which: groups of tokens, and which group may look at which. A token always sees itself and
/// never ahead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looks {
    /// Of each token.
    groups: Arc<[u32]>,
    num_groups: usize,
    /// Query group times the number of groups, plus key group.
    allowed: Vec<bool>,
}

impl Looks {
    /// By role alone.
    pub fn of_roles(rule: MaskRule, roles: &[Role]) -> Self {
        let pairs = Role::ALL.into_iter().flat_map(|query| Role::ALL.map(|key| rule.allows(query, key)));
        Self {
            groups: roles.iter().map(|role| role.code() as u32).collect(),
            num_groups: Role::ALL.len(),
            allowed: pairs.collect(),
        }
    }

    /// S.
    pub fn num_tokens(&self) -> usize {
        self.groups.len()
    }

    /// Of each token.
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// Which group may look at which, [groups, groups], queries first.
    pub fn table(&self) -> &[bool] {
        &self.allowed
    }

    /// Groups there are, whether or not a token is of them.
    pub fn num_groups(&self) -> usize {
        self.num_groups
    }

    /// May a group look at another?
    pub fn group_allows(&self, query: u32, key: u32) -> bool {
        self.allowed[query as usize * self.num_groups + key as usize]
    }

    /// May a token look at another?
    pub fn allows(&self, query: usize, key: usize) -> bool {
        key == query || (key < query && self.group_allows(self.groups[query], self.groups[key]))
    }

    /// Opens or closes the looks of some tokens at some, or leaves them as they are; groups of which a part is meant are
    /// divided.
    fn set(&mut self, from: &[bool], to: &[bool], allowed: Option<bool>) {
        let mut parts: Vec<(u32, bool, bool)> = Vec::new();
        let groups: Arc<[u32]> = (0..self.groups.len())
            .map(|token| {
                let part = (self.groups[token], from[token], to[token]);
                let place = parts.iter().position(|own| *own == part).unwrap_or_else(|| {
                    parts.push(part);
                    parts.len() - 1
                });
                place as u32
            })
            .collect();
        let of = |(query, is_from, _): &(u32, bool, bool), (key, _, is_to): &(u32, bool, bool)| {
            let set = allowed.filter(|_| *is_from && *is_to);
            set.unwrap_or_else(|| self.group_allows(*query, *key))
        };
        self.allowed = parts.iter().flat_map(|query| parts.iter().map(move |key| of(query, key))).collect();
        (self.groups, self.num_groups) = (groups, parts.len());
    }

    /// Pairs of the first `count` tokens, none of a token with itself, on which both differ.
    fn differences(&self, other: &Self, count: usize) -> usize {
        let mut behind = vec![0usize; self.num_groups * other.num_groups];
        let mut differing = 0;
        for token in 0..count {
            let (own, others) = (self.groups[token], other.groups[token]);
            let pairs = behind.iter().enumerate().filter(|(_, count)| **count > 0);
            for (pair, count) in pairs {
                let (a, b) = ((pair / other.num_groups) as u32, (pair % other.num_groups) as u32);
                if self.group_allows(own, a) != other.group_allows(others, b) {
                    differing += count;
                }
            }
            behind[own as usize * other.num_groups + others as usize] += 1;
        }
        differing
    }
}

/// What statements speak of: the tokens of a prompt.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// [N].
    pub roles: &'a [Role],
    /// Where each image's tokens are.
    pub image_spans: &'a [Span],
    /// Numbers of its latents among those of the unedited prompt; all of them, where none are said.
    pub latents: Option<&'a [usize]>,
}

impl Prompt<'_> {
    /// Positions of some tokens of the prompt, in the order of their parts; and whether all behind it are meant too.
    ///
    /// # Errors
    /// Tokens that are not there, a token twice.
    pub fn select(&self, tokens: &Tokens) -> Result<(Vec<usize>, bool), String> {
        let (mut all, mut behind) = (Vec::new(), false);
        for part in &tokens.0 {
            let (mut own, goes_on) = self.of_group(part)?;
            if behind && goes_on {
                return Err(format!("{tokens}: a token is named twice"));
            }
            behind |= goes_on;
            all.append(&mut own);
        }
        let mut sorted = all.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(format!("{tokens}: a token is named twice"));
        }
        Ok((all, behind))
    }

    fn of_role(&self, role: Role) -> Vec<usize> {
        (0..self.roles.len()).filter(|token| self.roles[*token] == role).collect()
    }

    fn of_group(&self, part: &TokenPart) -> Result<(Vec<usize>, bool), String> {
        let count = self.roles.len();
        let behind_latents = || {
            let last = self.roles.iter().rposition(|role| *role == Role::Latent);
            last.map(|last| (last + 1..count).collect())
                .ok_or_else(|| format!("{part}: without latents nothing is behind them"))
        };
        let (all, goes_on): (Vec<usize>, bool) = match part.group {
            TokenGroup::Latents => (self.of_role(Role::Latent), false),
            TokenGroup::Image => {
                let images = self.image_spans.iter().enumerate();
                let wanted = images.filter(|(image, _)| part.image.is_none_or(|own| own == *image));
                (wanted.flat_map(|(_, span)| span.range()).collect(), false)
            }
            TokenGroup::Prompt => (self.of_role(Role::Prompt), false),
            TokenGroup::Tail => (behind_latents()?, false),
            TokenGroup::Last => (count.checked_sub(1).into_iter().collect(), false),
            TokenGroup::Answer => (Vec::new(), true),
            TokenGroup::Readers => (behind_latents()?, true),
            TokenGroup::All => ((0..count).collect(), true),
        };
        if all.is_empty() && !goes_on && part.group != TokenGroup::Tail {
            return Err(format!("{part}: this run has none"));
        }
        let Some(index) = &part.index else { return Ok((all, goes_on)) };
        let own = self.latents.filter(|_| part.group == TokenGroup::Latents);
        let place = |i: usize| own.map_or(Some(i), |own| own.iter().position(|number| *number == i));
        let chosen: Option<Vec<usize>> = index.iter().map(|i| all.get(place(*i)?).copied()).collect();
        if let (None, Some(own)) = (&chosen, own) {
            return Err(format!("{part}: this run has latents {own:?}"));
        }
        // A number names tokens of the prompt: those to come have none yet.
        chosen.map(|chosen| (chosen, false)).ok_or_else(|| format!("{part}: there are {} of them", all.len()))
    }
}

/// The edges of a condition on the tokens of a prompt.
#[derive(Debug, Clone)]
pub struct Edges {
    num_tokens: usize,
    all: Vec<ResolvedEdge>,
}

#[derive(Debug, Clone)]
struct ResolvedEdge {
    from: Chosen,
    to: Chosen,
    layers: LayerRange,
    /// Nothing in a sham.
    allowed: Option<bool>,
}

/// Tokens as a statement chose them.
#[derive(Debug, Clone)]
struct Chosen {
    /// Of the prompt's tokens.
    of_prompt: Vec<bool>,
    /// Those behind it?
    behind: bool,
}

impl Chosen {
    fn new(prompt: Prompt<'_>, tokens: &Tokens) -> Result<Self, String> {
        let (places, behind) = prompt.select(tokens)?;
        let mut of_prompt = vec![false; prompt.roles.len()];
        for place in places {
            of_prompt[place] = true;
        }
        Ok(Self { of_prompt, behind })
    }

    /// Of the first so many tokens of the sequence.
    fn among(&self, count: usize) -> Vec<bool> {
        let mut all = self.of_prompt.clone();
        all.resize(count, self.behind);
        all
    }
}

impl Edges {
    /// Those among the edits, on a prompt, in a model of so many layers.
    ///
    /// # Errors
    /// Tokens or layers that are not there.
    pub fn new(edits: &[Edit], prompt: Prompt<'_>, num_layers: usize) -> Result<Self, String> {
        let resolved = |(edge, allowed): (&Edge, bool)| {
            let layers = edge.layers.unwrap_or(LayerRange { first: 0, last: None });
            layers.check(num_layers)?;
            let (from, to) = (Chosen::new(prompt, &edge.from)?, Chosen::new(prompt, &edge.to)?);
            Ok::<_, String>(ResolvedEdge { from, to, layers, allowed: Some(allowed) })
        };
        let all = edits.iter().filter_map(Edit::edge).map(resolved).collect::<Result<Vec<_>, String>>()?;
        Ok(Self { num_tokens: prompt.roles.len(), all })
    }

    /// The same through the same assignment, with every look left as it was.
    #[must_use]
    pub fn into_sham(mut self) -> Self {
        self.all.iter_mut().for_each(|edge| edge.allowed = None);
        self
    }

    /// Is there one that holds in a layer?
    pub fn act_in(&self, layer: usize) -> bool {
        self.all.iter().any(|edge| edge.layers.contains(layer))
    }

    /// Who may look at whom in a layer, where `looks` says so without them.
    pub fn apply(&self, looks: &mut Looks, layer: usize) {
        for edge in self.all.iter().filter(|edge| edge.layers.contains(layer)) {
            edge.apply(looks);
        }
    }

    /// (layer, query, key) triples of the prompt that each edge changed, in their order.
    pub fn changed(&self, rule: MaskRule, roles: &[Role], num_layers: usize) -> Vec<usize> {
        let mut changed = vec![0; self.all.len()];
        // What holds in a layer depends on which edges act there alone: most layers are alike.
        let mut known: Vec<(Vec<bool>, Vec<usize>)> = Vec::new();
        for layer in 0..num_layers {
            let acting: Vec<bool> = self.all.iter().map(|edge| edge.layers.contains(layer)).collect();
            let place = known.iter().position(|(own, _)| *own == acting).unwrap_or_else(|| {
                let counts = self.counted(&acting, rule, roles);
                known.push((acting, counts));
                known.len() - 1
            });
            changed.iter_mut().zip(&known[place].1).for_each(|(sum, count)| *sum += count);
        }
        changed
    }

    fn counted(&self, acting: &[bool], rule: MaskRule, roles: &[Role]) -> Vec<usize> {
        let mut looks = Looks::of_roles(rule, &roles[..self.num_tokens]);
        let one = |(edge, acts): (&ResolvedEdge, &bool)| {
            if !acts {
                return 0;
            }
            let before = looks.clone();
            edge.apply(&mut looks);
            looks.differences(&before, self.num_tokens)
        };
        self.all.iter().zip(acting).map(one).collect()
    }
}

impl ResolvedEdge {
    fn apply(&self, looks: &mut Looks) {
        let count = looks.num_tokens();
        looks.set(&self.from.among(count), &self.to.among(count), self.allowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::MaskKind;
    use Role::{Answer, Image, Latent, Prompt as Text};

    const ROLES: [Role; 9] = [Text, Image, Image, Text, Image, Latent, Latent, Text, Text];
    const SPANS: [Span; 2] = [Span { start: 1, end: 3 }, Span { start: 4, end: 5 }];
    const PROMPT: Prompt<'_> = Prompt { roles: &ROLES, image_spans: &SPANS, latents: None };

    fn edits(texts: &[&str]) -> Vec<Edit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// One by one, as the definition has it.
    fn plain(texts: &[&str], mask: MaskKind, layer: usize, roles: &[Role]) -> (Vec<Vec<bool>>, Vec<usize>) {
        let rule = mask.rule();
        let mut all: Vec<Vec<bool>> = (0..roles.len())
            .map(|q| {
                (0..roles.len()).map(|k| k <= q && (k == q || rule.allows(roles[q], roles[k]))).collect()
            })
            .collect();
        let mut counts = Vec::new();
        for edit in edits(texts) {
            let (edge, allowed) = edit.edge().unwrap();
            let mut count = 0;
            if edge.layers.is_none_or(|layers| layers.contains(layer)) {
                let named = |tokens: &Tokens, token: usize| {
                    let (places, behind) = PROMPT.select(tokens).unwrap();
                    places.contains(&token) || (behind && token >= ROLES.len())
                };
                for (query, row) in all.iter_mut().enumerate() {
                    for (key, seen) in row.iter_mut().enumerate().take(query) {
                        let is_meant = named(&edge.from, query) && named(&edge.to, key);
                        if is_meant && *seen != allowed {
                            *seen = allowed;
                            count += usize::from(query < ROLES.len());
                        }
                    }
                }
            }
            counts.push(count);
        }
        (all, counts)
    }

    #[test]
    fn edges_are_what_their_definition_says() {
        let roles = [&ROLES[..], &[Answer, Latent]].concat();
        for texts in [
            &["block latents->image"][..],
            &["block answer->latents"],
            &["block readers->latents @0-1"],
            &["block all->all @2"],
            &["block latents[0]+last->image#0[1]+image#1 @1-"],
            &["block latents->image", "allow latents[1]->image#1 @0-1"],
            &["allow tail->image#0 @1", "block prompt->prompt", "allow all->last"],
        ] {
            for mask in MaskKind::ALL {
                let edges = Edges::new(&edits(texts), PROMPT, 3).unwrap();
                let mut changed = vec![0; texts.len()];
                for layer in 0..3 {
                    let (expected, counts) = plain(texts, mask, layer, &roles);
                    changed.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
                    let mut looks = Looks::of_roles(mask.rule(), &roles);
                    edges.apply(&mut looks, layer);
                    for (query, row) in expected.iter().enumerate() {
                        for (key, allowed) in row.iter().enumerate() {
                            assert_eq!(looks.allows(query, key), *allowed, "{texts:?} {query} {key}");
                        }
                    }
                }
                assert_eq!(edges.changed(mask.rule(), &roles, 3), changed, "{texts:?} {mask:?}");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        for (text, said) in [
            ("block latents[2]->image", "latents[2]: there are 2 of them"),
            ("block latents->image#2", "image#2: this run has none"),
            ("block latents->image @0-3", "layers 0-3: there are 3"),
            ("block tail+last->image", "a token is named twice"),
            ("block readers+answer->image", "a token is named twice"),
        ] {
            let problem = Edges::new(&edits(&[text]), PROMPT, 3).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
        let bare = Prompt { roles: &[Text, Text], image_spans: &[], latents: None };
        for (text, said) in [
            ("block readers->prompt", "without latents nothing is behind them"),
            ("block all->latents", "latents: this run has none"),
        ] {
            let problem = Edges::new(&edits(&[text]), bare, 3).unwrap_err();
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
