//! Makes queries over the masking tests' world at random, from a seed. `sqlsmith` calls whatever `pg_catalog` has, and most
//! of that is refused; these use what analysts use, so that most of them run. It never makes a statement that writes.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
}
use Kind::{Int, Text};

/// Relations, whether a mask concerns them, and columns to compute with.
const RELATIONS: [(&str, &[(&str, Kind)]); 7] = [
    ("orders", &[("order_id", Int), ("customer_id", Int), ("item", Text), ("cents", Int)]),
    ("customers", &[("customer_id", Int), ("country", Text), ("plan", Text)]),
    ("people", &[("id", Int), ("city", Text)]),
    ("customers", &[("customer_id", Int), ("full_name", Text), ("salary", Int), ("country", Text), ("iban", Text)]),
    ("customer_names", &[("customer_id", Int), ("full_name", Text), ("country", Text)]),
    ("people", &[("id", Int), ("ssn", Text), ("city", Text)]),
    ("graded", &[("id", Int)]),
];
/// How many of them show no masked column.
const PLAIN: usize = 3;

/// A source of queries.
#[derive(Debug)]
pub(super) struct Maker {
    state: u64,
}

/// What may be named in an expression.
type Scope = Vec<(String, Kind)>;

impl Maker {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).unwrap() % bound
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// A query, and whether it names masked columns.
    pub(super) fn query(&mut self) -> (String, bool) {
        let masked = self.below(2) == 0;
        let known = if masked { RELATIONS.len() } else { PLAIN };
        let text = self.select(known, 2);
        let text = if self.below(5) == 0 { format!("with made as ({text}) select * from made") } else { text };
        (text, masked)
    }

    fn select(&mut self, known: usize, depth: usize) -> String {
        let mut scope = Scope::new();
        let mut from = String::new();
        for at in 0..=self.below(3) {
            let (relation, columns) = RELATIONS[self.below(known)];
            let alias = format!("t{depth}{at}");
            let before = scope.clone();
            scope.extend(columns.iter().map(|(column, kind)| (format!("{alias}.{column}"), *kind)));
            let source = match self.below(4) {
                0 => format!("(select * from {relation} where {}) as {alias}", self.over(columns)),
                _ => format!("{relation} as {alias}"),
            };
            if before.is_empty() {
                from = source;
            } else {
                let join = self.one_of(&["join", "left join", "cross join"]);
                let on =
                    if join == "cross join" { String::new() } else { format!(" on {}", self.truth(&scope, known, 1)) };
                from = format!("{from} {join} {source}{on}");
            }
        }
        let filter = self.truth(&scope, known, depth);
        if self.below(3) == 0 {
            let key = self.value(&scope, Text, 1);
            let sum = self.value(&scope, Int, 1);
            let of = self.one_of(&["sum", "min", "max", "count"]);
            return format!(
                "select {key} as k, {of}({sum}) as a, count(*) as n from {from} where {filter} group by 1 having count(*) > {}",
                self.below(3)
            );
        }
        let columns: Vec<String> = (0..=self.below(4))
            .map(|_| {
                let kind = if self.below(2) == 0 { Int } else { Text };
                self.value(&scope, kind, 3)
            })
            .collect();
        let order = (1..=columns.len()).map(|at| at.to_string()).collect::<Vec<_>>().join(", ");
        let distinct = self.one_of(&["", "", "distinct "]);
        format!(
            "select {distinct}{} from {from} where {filter} order by {order} limit {}",
            columns.join(", "),
            1 + self.below(200)
        )
    }

    fn over(&mut self, columns: &[(&str, Kind)]) -> String {
        let scope: Scope = columns.iter().map(|(column, kind)| ((*column).to_owned(), *kind)).collect();
        self.truth(&scope, 0, 0)
    }

    fn value(&mut self, scope: &Scope, kind: Kind, depth: usize) -> String {
        let named: Vec<&String> = scope.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name).collect();
        if depth == 0 || self.below(3) == 0 {
            return match (named.is_empty(), kind) {
                (false, _) => named[self.below(named.len())].clone(),
                (true, Int) => self.below(100).to_string(),
                (true, Text) => format!("'{}'", self.one_of(&["a", "DE", "pro", ""])),
            };
        }
        let int = |maker: &mut Self| maker.value(scope, Int, depth - 1);
        let text = |maker: &mut Self| maker.value(scope, Text, depth - 1);
        match (kind, self.below(6)) {
            (Int, 0) => format!("({} {} {})", int(self), self.one_of(&["+", "-"]), int(self)),
            (Int, 1) => format!("length({})", text(self)),
            (Int, 2) => format!("coalesce({}, {})", int(self), self.below(9)),
            (Int, 3) => format!("({} % {})", int(self), 1 + self.below(7)),
            (Int, 4) => format!("case when {} then {} else {} end", self.truth(scope, 0, 0), int(self), int(self)),
            (Int, _) => format!("({} / {})", int(self), int(self)),
            (Text, 0) => format!("{}({})", self.one_of(&["upper", "lower", "md5", "reverse"]), text(self)),
            (Text, 1) => format!("({} || {})", text(self), text(self)),
            (Text, 2) => format!("substr({}, 1, {})", text(self), self.below(6)),
            (Text, 3) => format!("{}::text", int(self)),
            (Text, 4) => format!("coalesce({}, 'none')", text(self)),
            (Text, _) => format!("nullif({}, {})", text(self), text(self)),
        }
    }

    fn truth(&mut self, scope: &Scope, known: usize, depth: usize) -> String {
        let kind = if self.below(2) == 0 { Int } else { Text };
        let pair = |maker: &mut Self| [0, 1].map(|_| maker.value(scope, kind, 1));
        match self.below(if depth == 0 { 4 } else { 8 }) {
            0 | 1 => {
                let [a, b] = pair(self);
                format!("{a} {} {b}", self.one_of(&["=", "<>", "<", ">=", "is not distinct from"]))
            }
            2 => format!("{} is not null", self.value(scope, kind, 1)),
            3 => format!("{} like '%{}%'", self.value(scope, Text, 1), self.one_of(&["a", "e", "1", "D"])),
            4 | 5 => {
                let word = self.one_of(&["and", "or", "and not"]);
                format!("({} {word} {})", self.truth(scope, known, depth - 1), self.truth(scope, known, depth - 1))
            }
            6 if known > 0 => format!("exists ({})", self.select(known, depth - 1)),
            _ => format!("{} between {} and {}", self.value(scope, Int, 1), self.below(5), 5 + self.below(5_000)),
        }
    }
}
