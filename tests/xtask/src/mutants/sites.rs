//! Where a Rust file can be changed so that something should notice, and the file with chosen changes behind a switch.
//! It reads syntax only: a change that does not compile is found by compiling, and left out. It must never change
//! tests, constants, patterns or what stands in macros.

#![expect(clippy::wildcard_enum_match_arm, reason = "the syntax of Rust is not ours, and it grows")]

use crate::fault::{Doing as _, Outcome};
use quote::ToTokens as _;
use std::collections::BTreeMap;
use syn::{
    Attribute, BinOp, Block, Expr, ExprRepeat, ImplItemFn, Item, ItemFn, Lit, Pat, ReturnType, Signature, Stmt,
    TraitItemFn, Type, UnOp, parse_quote,
    spanned::Spanned as _,
    visit_mut::{self, VisitMut},
};

/// A change that can be made.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Its line in the file.
    pub(super) line: usize,
    /// The function that it stands in.
    pub(super) function: String,
    /// What is changed into what.
    pub(super) what: String,
}

/// All sites of a file, in order.
///
/// # Errors
/// When the text is not Rust.
pub(super) fn find(text: &str) -> Outcome<Vec<Site>> {
    let mut file = syn::parse_file(text).doing(|| "cannot read Rust".to_owned())?;
    let mut walk = Walk::new(&[], parse_quote!(unused));
    walk.visit_file_mut(&mut file);
    Ok(walk.found)
}

/// The file with some of its sites, by position, behind the switch `on` of the module `switch`.
///
/// # Errors
/// When the text is not Rust.
pub(super) fn switched(text: &str, picked: &[(usize, u32)], switch: &str) -> Outcome<String> {
    let mut file = syn::parse_file(text).doing(|| "cannot read Rust".to_owned())?;
    let switch = syn::parse_str(switch).doing(|| "cannot read a path".to_owned())?;
    Walk::new(picked, switch).visit_file_mut(&mut file);
    Ok(file.to_token_stream().to_string())
}

/// The files that a file declares as modules for tests only.
///
/// # Errors
/// When the text is not Rust.
pub(super) fn test_modules(text: &str) -> Outcome<Vec<String>> {
    let file = syn::parse_file(text).doing(|| "cannot read Rust".to_owned())?;
    let modules = file.items.into_iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && is_for_tests(&module.attrs) => Some(module.ident.to_string()),
        _ => None,
    });
    Ok(modules.collect())
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    })
}

struct Walk {
    found: Vec<Site>,
    picked: BTreeMap<usize, u32>,
    switch: syn::Path,
    function: String,
}

impl Walk {
    fn new(picked: &[(usize, u32)], switch: syn::Path) -> Self {
        Self { found: Vec::new(), picked: picked.iter().copied().collect(), switch, function: String::new() }
    }

    /// Notes a site; the switch when it was picked.
    fn site(&mut self, line: usize, what: String) -> Option<Expr> {
        let position = self.found.len();
        self.found.push(Site { line, function: self.function.clone(), what });
        let (id, switch) = (self.picked.get(&position)?, &self.switch);
        Some(parse_quote!(#switch::on(#id)))
    }

    fn body(&mut self, signature: &Signature, block: &mut Block) {
        if signature.constness.is_some() {
            return;
        }
        let outer = std::mem::replace(&mut self.function, signature.ident.to_string());
        visit_mut::visit_block_mut(self, block);
        let line = signature.ident.span().start().line;
        let mut early: Vec<Stmt> = Vec::new();
        for (shown, value) in answers(&signature.output) {
            if block.stmts.is_empty() {
                continue;
            }
            if let Some(on) = self.site(line, format!("the body answers `{shown}`")) {
                early.push(match value {
                    Some(value) => parse_quote!(if #on { return #value; }),
                    None => parse_quote!(if #on { return; }),
                });
            }
        }
        block.stmts.splice(0..0, early);
        self.function = outer;
    }

    /// An expression with its change behind a switch.
    fn change(&mut self, expression: &mut Expr, (what, changed): (String, Expr)) {
        let line = expression.span().start().line;
        if let Some(on) = self.site(line, what) {
            let original = expression.clone();
            *expression = parse_quote!((if #on { #changed } else { #original }));
        }
    }
}

impl VisitMut for Walk {
    fn visit_item_mut(&mut self, item: &mut Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(_) | Item::Static(_) | Item::Macro(_) | Item::Enum(_) | Item::Struct(_) => return,
            Item::Fn(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit_mut::visit_item_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, item: &mut ItemFn) {
        self.body(&item.sig, &mut item.block);
    }

    fn visit_impl_item_fn_mut(&mut self, item: &mut ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            self.body(&item.sig, &mut item.block);
        }
    }

    fn visit_trait_item_fn_mut(&mut self, item: &mut TraitItemFn) {
        if let Some(block) = &mut item.default {
            self.body(&item.sig, block);
        }
    }

    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_attribute_mut(&mut self, _: &mut Attribute) {}
    fn visit_pat_mut(&mut self, _: &mut Pat) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}

    fn visit_expr_repeat_mut(&mut self, repeat: &mut ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        let changed = changes(expression);
        visit_mut::visit_expr_mut(self, expression);
        // The first pass over an expression decides what can be changed, the parts of it may be switched by now.
        if changed.is_some()
            && let Some(change) = changes(expression)
        {
            self.change(expression, change);
        }
    }
}

/// What a function may answer instead of its body, and how that is shown.
fn answers(output: &ReturnType) -> Vec<(String, Option<Expr>)> {
    let ReturnType::Type(_, kind) = output else { return vec![("()".to_owned(), None)] };
    let Type::Path(path) = kind.as_ref() else { return Vec::new() };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let text = kind.to_token_stream().to_string();
    let answers: &[&str] = match last.ident.to_string().as_str() {
        "bool" => &["true", "false"],
        "Option" => &["None"],
        "Vec" => &["Vec::new()"],
        "String" => &["String::new()"],
        "usize" | "u64" | "u32" | "u16" | "u8" | "i64" | "i32" => &["0"],
        "BTreeSet" | "BTreeMap" => &["Default::default()"],
        "Result" if text.starts_with("Result < () ,") => &["Ok(())"],
        _ => &[],
    };
    let parsed = answers.iter().filter_map(|answer| Some(((*answer).to_owned(), Some(syn::parse_str(answer).ok()?))));
    parsed.collect()
}

/// The change that an expression itself admits.
fn changes(expression: &Expr) -> Option<(String, Expr)> {
    match expression {
        Expr::Binary(binary) if !has_let(expression) => {
            let mut changed = binary.clone();
            let literal = |side: &Expr| matches!(side, Expr::Lit(lit) if matches!(lit.lit, Lit::Int(_)));
            let counts = literal(&binary.left) || literal(&binary.right);
            changed.op = match binary.op {
                BinOp::Eq(_) => parse_quote!(!=),
                BinOp::Ne(_) => parse_quote!(==),
                BinOp::Lt(_) => parse_quote!(<=),
                BinOp::Le(_) => parse_quote!(<),
                BinOp::Gt(_) => parse_quote!(>=),
                BinOp::Ge(_) => parse_quote!(>),
                BinOp::And(_) => parse_quote!(||),
                BinOp::Or(_) => parse_quote!(&&),
                BinOp::Add(_) if counts => parse_quote!(-),
                BinOp::Sub(_) if counts => parse_quote!(+),
                _ => return None,
            };
            let (from, to) = (binary.op.to_token_stream(), changed.op.to_token_stream());
            Some((format!("`{from}` becomes `{to}` in `{}`", short(expression)), Expr::Binary(changed)))
        }
        Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
            Some((format!("`!` goes in `{}`", short(expression)), (*unary.expr).clone()))
        }
        Expr::MethodCall(call) => {
            let (from, arguments) = (call.method.to_string(), call.args.len());
            let to = match (from.as_str(), arguments) {
                ("any", 1) => "all",
                ("all", 1) => "any",
                ("is_none_or", 1) => "is_some_and",
                ("is_some_and", 1) => "is_none_or",
                ("is_some", 0) => "is_none",
                ("is_none", 0) => "is_some",
                ("min", 0 | 1) => "max",
                ("max", 0 | 1) => "min",
                ("is_empty", 0) => {
                    return Some((format!("`{}` is negated", short(expression)), parse_quote!(!#expression)));
                }
                _ => return None,
            };
            let mut changed = call.clone();
            changed.method = syn::Ident::new(to, call.method.span());
            Some((format!("`{from}` becomes `{to}` in `{}`", short(expression)), Expr::MethodCall(changed)))
        }
        Expr::Lit(literal) => match &literal.lit {
            Lit::Bool(value) => {
                let other = !value.value;
                Some((format!("`{}` becomes `{other}`", value.value), parse_quote!(#other)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a condition binds names, so that it cannot stand in parentheses.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// The expression on one line, cut where it is long.
fn short(expression: &Expr) -> String {
    let text = expression.to_token_stream().to_string();
    let tight = text.replace(" . ", ".").replace(" (", "(").replace("( ", "(").replace(" )", ")").replace(" :: ", "::");
    let line: String = tight.chars().take(90).collect();
    if line.len() < tight.len() { format!("{line}…") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn f(a: u32) -> bool { if let Some(b) = g(a) && b < 2 { return !h(b); } a == 1 || true }\n\
                        const fn c() -> bool { 1 == 2 }\n#[cfg(test)]\nmod tests { fn t() -> bool { false } }\n";

    #[test]
    fn sites_leave_tests_constants_and_bindings_alone() {
        let found: Vec<String> = find(TEXT).unwrap().into_iter().map(|site| site.what).collect();
        let expected = [
            "`<` becomes `<=` in `b < 2`",
            "`!` goes in `! h(b)`",
            "`==` becomes `!=` in `a == 1`",
            "`true` becomes `false`",
            "`||` becomes `&&` in `a == 1 || true`",
            "the body answers `true`",
            "the body answers `false`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_picked_site_stands_behind_its_switch() {
        let text = switched(TEXT, &[(0, 7), (6, 8)], "crate::mutant").unwrap();
        assert!(text.contains("if crate :: mutant :: on (7u32) { b <= 2 } else { b < 2 }"), "{text}");
        assert!(text.contains("if crate :: mutant :: on (8u32) { return false ; }"), "{text}");
        assert!(syn::parse_file(&text).is_ok());
        assert_eq!(test_modules("#[cfg(test)]\nmod a;\nmod b;\n").unwrap(), ["a"]);
    }
}
