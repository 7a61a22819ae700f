use super::*;

/// Text, canonical text and JSON of statements of every kind.
const STATEMENTS: [(&str, &str, &str); 21] = [
    (
        "latents[3,0-2] = zero @ after-4..",
        "latents[0-3]=zero@after-4..",
        r#"{"do":"replace","tokens":[{"group":"latents","index":[0,1,2,3]}],"value":"zero","site":"after","layer":4,"held":null}"#,
    ),
    (
        "latents=jitter:0.30,seed=7@embedding",
        "latents=jitter:0.3,seed=7@embedding",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"jitter","sigma":0.3,"seed":7,"site":"embedding"}"#,
    ),
    (
        "latents=truncate:2",
        "latents=truncate:2",
        r#"{"do":"sequence","tokens":[{"group":"latents"}],"value":"truncate","keep":2}"#,
    ),
    (
        "latents=cache:a.safetensors@1-",
        "latents=cache:a.safetensors@1-",
        r#"{"do":"cache","tokens":[{"group":"latents"}],"value":"cache","file":"a.safetensors","layers":[1,null]}"#,
    ),
    (
        "block latents -> image#1  @8-12",
        "block latents->image#1 @8-12",
        r#"{"do":"block","from":[{"group":"latents"}],"to":[{"group":"image","image":1}],"layers":[8,12]}"#,
    ),
    (
        "head 5.3 x 0.0 of readers",
        "head 5.3 x 0 of readers",
        r#"{"do":"head","heads":[[5,3]],"factor":0.0,"tokens":[{"group":"readers"}]}"#,
    ),
    (
        "path latents: head 0.1->head 2.0 k=donor",
        "path latents: head 0.1 -> head 2.0 k = donor",
        r#"{"do":"path","tokens":[{"group":"latents"}],"from":{"site":"head","head":[0,1]},"to":{"site":"head","head":[2,0],"part":"k"},"value":"donor"}"#,
    ),
    (
        "path image+latents: after-0 -> head 1.3 v for last = donor:f.st",
        "path image+latents: after-0 -> head 1.3 v for last = donor:f.st",
        r#"{"do":"path","tokens":[{"group":"image"},{"group":"latents"}],"from":{"site":"after","layer":0},"to":{"site":"head","head":[1,3],"part":"v"},"for":[{"group":"last"}],"value":"donor","file":"f.st"}"#,
    ),
    (
        "path last: embedding -> logits = self",
        "path last: embedding -> logits = self",
        r#"{"do":"path","tokens":[{"group":"last"}],"from":{"site":"embedding"},"to":{"site":"logits"},"value":"self"}"#,
    ),
    (
        "allow tail->image @3",
        "allow tail->image @3",
        r#"{"do":"allow","from":[{"group":"tail"}],"to":[{"group":"image"}],"layers":[3,3]}"#,
    ),
    (
        "block answer->latents",
        "block answer->latents",
        r#"{"do":"block","from":[{"group":"answer"}],"to":[{"group":"latents"}]}"#,
    ),
    (
        "image#0[5-6,9]=fill:127,127,127.0@pixels",
        "image#0[5-6,9]=fill:127,127,127@pixels",
        r#"{"do":"replace","tokens":[{"group":"image","image":0,"index":[5,6,9]}],"value":"fill","rgb":[127.0,127.0,127.0],"site":"pixels"}"#,
    ),
    (
        "image=image-mean@features",
        "image=image-mean@features",
        r#"{"do":"replace","tokens":[{"group":"image"}],"value":"image-mean","site":"features"}"#,
    ),
    (
        "latents=normal:sd=0.5,mean=-0.1,file=e.st@embedding..9",
        "latents=normal:mean=-0.1,sd=0.5,file=e.st@embedding..9",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"normal","mean":-0.1,"sd":0.5,"file":"e.st","site":"embedding","held":9}"#,
    ),
    (
        "latents=donor:\"a b@,=\\\".st\"@into-2..5",
        "latents=donor:\"a b@,=\\\".st\"@into-2..5",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"donor","file":"a b@,=\".st","site":"into","layer":2,"held":5}"#,
    ),
    (
        "latents=shuffle:2,0,1@norm",
        "latents=shuffle:2,0,1@norm",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"shuffle","order":[2,0,1],"site":"norm"}"#,
    ),
    (
        "latents=same-dist:seed=18446744073709551615@after-0",
        "latents=same-dist:seed=18446744073709551615@after-0",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"same-dist","seed":18446744073709551615,"site":"after","layer":0}"#,
    ),
    (
        "latents=self@embedding..",
        "latents=self@embedding..",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"self","site":"embedding","held":null}"#,
    ),
    (
        "latents=mean:file=m.st@after-1",
        "latents=mean:m.st@after-1",
        r#"{"do":"replace","tokens":[{"group":"latents"}],"value":"mean","file":"m.st","site":"after","layer":1}"#,
    ),
    ("latent=gap", "latents=gap", r#"{"do":"sequence","tokens":[{"group":"latents"}],"value":"gap"}"#),
    ("latents=cache", "latents=cache", r#"{"do":"cache","tokens":[{"group":"latents"}],"value":"cache"}"#),
];

#[test]
fn statements_have_one_text_and_one_json() {
    for (text, canonical, json) in STATEMENTS {
        let edit: Edit = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(edit.to_string(), canonical);
        assert_eq!(canonical.parse::<Edit>().as_ref(), Ok(&edit));
        let expected: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_value(&edit).unwrap(), expected, "{text}");
        assert_eq!(serde_json::from_str::<Edit>(json).unwrap(), edit, "{text}");
    }
}

#[test]
fn what_is_no_statement_is_said() {
    for (text, said) in [
        ("", "expected TOKENS=VALUE@SITE"),
        ("latents", "expected TOKENS=VALUE@SITE"),
        ("latents=zero", "zero wants a site, as in @embedding"),
        ("latents=nothing@embedding", "expected one of self, zero"),
        ("latents=zero@after", "expected a site"),
        ("latents=zero@after-3..1", "ends before it begins"),
        ("latents=zero@pixels..", "expected a site"),
        ("latents=zero:3@embedding", "zero takes no 3"),
        ("latents=zero:seed=3@embedding", "zero takes no seed=3"),
        ("latents=truncate", "truncate wants a number"),
        ("latents=truncate:x", "truncate wants a number"),
        ("latents=remove@after-1", "remove has no site"),
        ("latents=jitter@embedding", "jitter wants a number"),
        ("latents=jitter:inf@embedding", "expected a number, found inf"),
        ("latents=normal:mean=nan@embedding", "expected a number, found nan"),
        ("latents=normal:seed=-1@embedding", "expected a whole number as seed"),
        ("latents=fill:1,2@pixels", "fill takes three numbers"),
        ("latents=donor:\"a@embedding", "cannot read"),
        ("latents=donor:a b@embedding", "cannot read a b"),
        ("latents=donor:a,b@embedding", "donor takes no b"),
        ("latents=shuffle@embedding", "shuffle wants an order"),
        ("block latents", "expected tokens -> tokens"),
        ("block latents->image @2-1", "expected layers like 8, 8-12 or 8-, found 2-1"),
        ("blocklatents->image", "expected TOKENS=VALUE@SITE"),
        ("head 1 x 0", "expected heads like"),
        ("head 1.2 0", "expected heads like"),
        ("head 1.2 x y", "expected a number, found y"),
        ("path latents: head 0.1 -> head 2.0 = donor", "expected a path to logits"),
        ("path latents: norm -> logits = donor", "expected a path from"),
        ("path latents: embedding -> logits = zero", "a path carries"),
    ] {
        let problem = text.parse::<Edit>().unwrap_err();
        assert!(problem.contains(said), "{text}: {problem}");
    }
}
