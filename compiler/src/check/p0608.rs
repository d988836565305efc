//! P0608: two masks put different fixed texts in one place. The smaller text wins, which neither author chose.

use super::{Ctx, overlap::tables_meet};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Mask, MaskForm, To},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let fixed: Vec<(&Mask, &str)> = ctx
        .policy
        .masks
        .iter()
        .filter(|mask| !mask.head.broken)
        .filter_map(|mask| match &mask.form.value {
            MaskForm::Fixed(text) => Some((mask, text.as_str())),
            MaskForm::Redact | MaskForm::Hash | MaskForm::Nullify | MaskForm::Partial { .. } => None,
        })
        .collect();
    for (at, (mask, text)) in fixed.iter().enumerate() {
        let other = fixed.iter().take(at).find(|(other, theirs)| theirs != text && meet(ctx, mask, other));
        let Some((other, theirs)) = other else { continue };
        let (name, first) = (&mask.head.name.value, &other.head.name.value);
        let message = format!("the masks `{first}` and `{name}` put different texts in one place");
        sink.push(
            Diagnostic::new(Code::P0608, mask.form.span, message)
                .label(format!("\"{text}\" here …"))
                .also(other.form.span, format!("… and \"{theirs}\" here"))
                .help("give both the same text, or let them concern different data or people"),
        );
    }
}

/// Whether both masks hide one column from one subject.
fn meet(ctx: &Ctx<'_>, a: &Mask, b: &Mask) -> bool {
    let people = match (&a.to, &b.to) {
        (To::Everybody, _) | (_, To::Everybody) => true,
        (To::Any(a), To::Any(b)) => a.iter().any(|a| b.iter().any(|b| ctx.may_meet(a, b))),
    };
    let classes = a.classes.iter().any(|x| b.classes.iter().any(|y| super::p0602::meet(&x.value, &y.value)));
    let columns = a.columns.iter().any(|x| b.columns.iter().any(|y| x.value == y.value));
    let patterns = a.patterns.iter().any(|x| b.patterns.iter().any(|y| x.regex.value == y.regex.value));
    if !people || patterns || !(classes || columns) {
        return people && patterns;
    }
    let theirs = ctx.hidden_tables(b);
    ctx.hidden_tables(a).iter().any(|(on, tables)| {
        let Some(others) = theirs.get(on) else { return false };
        tables.iter().any(|table| others.iter().any(|other| tables_meet(table, other)))
    })
}
