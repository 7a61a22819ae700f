use serde_json::Value;

use super::*;

/// Cases of a file, as the libraries that made it have them.
fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

macro_rules! recorded {
    ($name:literal) => {
        cases(include_str!(concat!("../../../tests/fixtures/statistics/", $name, ".json")))
    };
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|own| own.as_f64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<Vec<usize>> {
    let row = |row: &Value| numbers(row).into_iter().map(|i| i as usize).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn same(found: Option<f64>, expected: &Value, case: &Value) {
    match (found, expected.as_f64()) {
        (None, None) => {}
        (Some(found), Some(expected)) => {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-9, "{}: {found}, expected {expected}", case["name"]);
        }
        (found, _) => panic!("{}: {found:?}, expected {expected}", case["name"]),
    }
}

fn same_interval(found: Option<[f64; 2]>, expected: &Value, case: &Value) {
    for (i, end) in [0, 1].into_iter().enumerate() {
        same(found.map(|found| found[end]), expected.get(i).unwrap_or(&Value::Null), case);
    }
}

#[test]
fn shares_and_their_differences() {
    for case in recorded!("wilson") {
        let input = &case["input"];
        let found = wilson(count(&input["successes"]), count(&input["of"]));
        same_interval(Some(found), &case["expect"]["interval"], &case);
    }
    for case in recorded!("newcombe_paired") {
        let [both, first, second, neither] = ["a", "b", "c", "d"].map(|own| count(&case["input"][own]));
        let found = newcombe(McNemarCells { both, first, second, neither });
        same(found.map(|own| own.difference), &case["expect"]["difference"], &case);
        same_interval(found.map(|own| own.interval), &case["expect"]["interval"], &case);
        if found.is_some() {
            same(found.map(|own| own.phi), &case["expect"]["phi"], &case);
        }
    }
    for case in recorded!("mcnemar_exact") {
        let found = mcnemar_exact(count(&case["input"]["b"]), count(&case["input"]["c"]));
        same(Some(found), &case["expect"]["p"], &case);
    }
    for case in recorded!("holm") {
        let found = holm(&numbers(&case["input"]["p"]));
        let expected = case["expect"]["adjusted"].as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).for_each(|(found, expected)| same(Some(*found), expected, &case));
        let rejected: Vec<bool> = found.iter().map(|p| *p <= 0.05).collect();
        assert_eq!(serde_json::to_value(rejected).unwrap(), case["expect"]["rejected"], "{}", case["name"]);
    }
}

#[test]
fn samples_drawn_again() {
    for case in recorded!("paired_bootstrap") {
        let (first, second) = (numbers(&case["input"]["first"]), numbers(&case["input"]["second"]));
        let differences: Vec<f64> = first.iter().zip(&second).map(|(a, b)| b - a).collect();
        same(mean(&differences), &case["expect"]["difference"], &case);
        let rows = indices(&case["input"]["indices"]).into_iter();
        same_interval(bootstrap(&differences, rows), &case["expect"]["interval"], &case);
    }
    for case in recorded!("clustered_bootstrap") {
        let differences = numbers(&case["input"]["differences"]);
        let names: Vec<String> = serde_json::from_value(case["input"]["clusters"].clone()).unwrap();
        let (clusters, number) = clusters_of(&names);
        assert_eq!(number, count(&case["expect"]["clusters"]), "{}", case["name"]);
        same(mean(&differences), &case["expect"]["difference"], &case);
        let rows = indices(&case["input"]["draws"]).into_iter();
        let found = clustered_bootstrap(&differences, &clusters, rows);
        same_interval(found, &case["expect"]["interval"], &case);
    }
    for case in recorded!("difference_in_differences") {
        let input = &case["input"];
        let of = |name: &str| numbers(&input[name]);
        let (difference, interval) = if input.get("indices").is_some() {
            let all = ["first_on", "first_off", "second_on", "second_off"].map(of);
            let one = |i: usize| (all[0][i] - all[1][i]) - (all[2][i] - all[3][i]);
            let differences: Vec<f64> = (0..all[0].len()).map(one).collect();
            let rows = indices(&input["indices"]).into_iter();
            (mean(&differences), bootstrap(&differences, rows))
        } else {
            let (first, second) = (of("first"), of("second"));
            let rows = indices(&input["first_indices"]).into_iter().zip(indices(&input["second_indices"]));
            let difference = mean(&first).zip(mean(&second)).map(|(a, b)| a - b);
            (difference, two_groups(&first, &second, rows))
        };
        same(difference, &case["expect"]["difference"], &case);
        same_interval(interval, &case["expect"]["interval"], &case);
    }
}

#[test]
fn ranks_and_signs() {
    for case in recorded!("wilcoxon") {
        let (found, expected) = (wilcoxon(&numbers(&case["input"]["differences"])), &case["expect"]);
        assert_eq!(found.used, count(&expected["used"]), "{}", case["name"]);
        for (found, name) in [
            (Some(found.w_plus), "w_plus"),
            (Some(found.w_minus), "w_minus"),
            (found.p_exact, "p_exact"),
            (found.z, "z"),
            (found.p_normal, "p_normal"),
        ] {
            same(found, &expected[name], &case);
        }
    }
    for case in recorded!("sign_flip") {
        let signs = case["input"].get("signs").filter(|own| !own.is_null());
        let signs: Option<Vec<Vec<f64>>> =
            signs.map(|own| own.as_array().unwrap().iter().map(numbers).collect());
        let found = sign_flip(&numbers(&case["input"]["differences"]), signs.as_deref());
        same(found.map(|own| own.mean), &case["expect"]["mean"], &case);
        same(found.map(|own| own.p), &case["expect"]["p"], &case);
    }
    for case in recorded!("auroc") {
        let positive: Vec<bool> =
            numbers(&case["input"]["positive"]).into_iter().map(|own| own > 0.0).collect();
        same(auroc(&positive, &numbers(&case["input"]["scores"])), &case["expect"]["auroc"], &case);
    }
    for case in recorded!("spearman") {
        let found = spearman(&numbers(&case["input"]["x"]), &numbers(&case["input"]["y"]));
        same(found, &case["expect"]["rho"], &case);
    }
    for case in recorded!("kendall") {
        let found = kendall(&numbers(&case["input"]["x"]), &numbers(&case["input"]["y"]));
        same(found, &case["expect"]["tau"], &case);
    }
}

#[test]
fn of_a_hundred_studies_that_show_nothing_few_find_something() {
    use rand::RngExt as _;

    // Twenty conditions each that are right as often as the base, and one more where one is planted.
    let (mut false_findings, mut found_planted) = (0, 0);
    for study in 0..100u64 {
        let mut rng = crate::random::stream(study, &[7]);
        let mut p = Vec::new();
        for _ in 0..20 {
            let pairs = (0..200).map(|_| (rng.random_bool(0.6), rng.random_bool(0.6)));
            let cells = McNemarCells::of(pairs.collect::<Vec<_>>());
            p.push(mcnemar_exact(cells.first, cells.second));
        }
        let planted = (0..200).map(|_| (rng.random_bool(0.6), rng.random_bool(0.9)));
        let planted = McNemarCells::of(planted.collect::<Vec<_>>());
        p.push(mcnemar_exact(planted.first, planted.second));
        let adjusted = holm(&p);
        false_findings += usize::from(adjusted[..20].iter().any(|p| *p <= 0.05));
        found_planted += usize::from(adjusted[20] <= 0.05);
    }
    assert!(false_findings <= 10 && found_planted >= 99, "{false_findings} {found_planted}");
}
