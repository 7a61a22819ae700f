//! Tests of the table.

use super::*;
use crate::ask::{DeviceChoice, DtypeChoice};
use crate::engine::ids::ModelId;

fn asked(adapter: Option<crate::engine::ids::Source>) -> AskedOf {
    let demo = ModelId::demo(DeviceChoice::Cpu, DtypeChoice::F32);
    AskedOf { model: demo.with_adapter(adapter), condition: Condition::default() }
}

fn answered(data: &DataTable, record: usize, pred: &str, certainty: f32) -> AnsweredRecord {
    let record = &data.set.records[record];
    let prediction = Prediction {
        id: record.id.clone(),
        task: record.task.clone(),
        target: record.target.clone(),
        pred: pred.to_owned(),
        answer: pred.to_owned(),
        correct: pred == record.target,
        choice_logprobs: Vec::new(),
        chance: None,
        latent_mass: None,
        source: None,
        changed: Vec::new(),
    };
    AnsweredRecord { prediction, certainty: Some(certainty) }
}

#[test]
fn rows_are_filtered_sorted_and_walked() {
    let mut data = DataTable::default();
    let asked = [asked(None), asked(Some(crate::engine::ids::Source::Demo))];
    let columns = asked.clone().map(DataColumn::from);
    let form = |filter| DataForm { filter, ..DataForm::default() };
    data.refresh(&form(RowFilter::All), &columns);
    assert_eq!(data.rows().len(), data.set.records.len());
    assert_eq!(data.next(&asked, 4), Some((asked[0].clone(), vec![0, 1, 2, 3])));
    let targets: Vec<String> = data.set.records.iter().map(|own| own.target.clone()).collect();
    let first: Vec<_> = (0..4).map(|i| answered(&data, i, &targets[i], 0.9 - 0.1 * i as f32)).collect();
    data.take(&columns[0], first);
    assert_eq!(data.next(&asked, 4), Some((asked[1].clone(), vec![0, 1, 2, 3])), "both fill together");
    let other = vec![answered(&data, 0, &targets[0], 0.5), answered(&data, 2, "nothing", 0.5)];
    data.take(&columns[1], other);
    for (filter, rows) in
        [(RowFilter::Disagree, vec![2]), (RowFilter::Wrong, vec![2]), (RowFilter::Right, vec![0, 1, 3])]
    {
        data.refresh(&form(filter), &columns);
        assert_eq!(data.rows(), rows, "{filter:?}");
    }
    let sure = DataForm { order: RowOrder::Certainty(0), ..form(RowFilter::Right) };
    data.refresh(&sure, &columns);
    assert_eq!(data.rows(), [3, 1, 0]);
    data.selected = Some(1);
    assert_eq!((data.step(1), data.step(-1), data.step(2)), (Some(0), Some(3), Some(3)));
    let all = data.accuracies(&columns);
    let (_, whole) = all.last().unwrap();
    assert_eq!(whole[0].as_ref().map(|own| own.samples), Some(4));
    assert_eq!(whole[1].as_ref().map(|own| own.accuracy), Some(0.5));
    data.refresh(&DataForm { search: targets[2].clone() + "☃", ..DataForm::default() }, &columns);
    assert!(data.rows().is_empty() && data.step(1).is_none());
}

#[test]
fn answers_that_were_read_have_a_column_and_what_flips_is_found() {
    let mut data = DataTable::default();
    let usual = asked(None);
    let masked = AskedOf {
        condition: usual.condition.clone().masked(crate::ask::MaskKind::Bottleneck),
        ..usual.clone()
    };
    let targets: Vec<String> = data.set.records.iter().map(|own| own.target.clone()).collect();
    data.take(&usual.clone().into(), (0..3).map(|i| answered(&data, i, &targets[i], 0.5)).collect());
    let behind = vec![answered(&data, 0, &targets[0], 0.5), answered(&data, 1, "nothing", 0.5)];
    data.take(&masked.clone().into(), behind);
    let columns = [DataColumn::from(usual)];
    data.refresh(&DataForm { filter: RowFilter::Flips, ..DataForm::default() }, &columns);
    assert_eq!(data.rows(), [1]);
    assert_eq!(data.other_conditions(&columns), [masked.condition]);
    let mut read = answered(&data, 2, "nothing", 0.5).prediction;
    read.choice_logprobs = vec![-1.0, -1.0, f32::NEG_INFINITY];
    data.take_read(ReadAnswers { name: "elsewhere".to_owned(), predictions: vec![read] });
    let [column] = &data.read_columns()[..] else { panic!("one was read") };
    assert_eq!(data.answer(column, 2).and_then(|own| own.certainty), Some(0.5));
    // Its own data opened, it stays.
    let mut same = DataTable::default();
    same.take_over(&mut data);
    assert_eq!((same.read_columns().len(), data.read_columns().len()), (1, 0));
}
