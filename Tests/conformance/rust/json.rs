//! As much JSON as a scenario needs. Every value knows its own text, so that an object can be handed on as it stands.

pub struct Json<'a> {
    pub text: &'a str,
    pub kind: Kind<'a>,
}

pub enum Kind<'a> {
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json<'a>>),
    Object(Vec<(String, Json<'a>)>),
}

macro_rules! accessors {
    ($($name:ident: $kind:ident $type:ty),* $(,)?) => {
        $(pub fn $name(&self) -> Option<&$type> {
            match &self.kind {
                Kind::$kind(value) => Some(value),
                _ => None,
            }
        })*
    };
}

impl<'a> Json<'a> {
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value()?;
        reader.space();
        if reader.at < text.len() {
            return reader.fail("the end");
        }
        Ok(value)
    }

    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match &self.kind {
            Kind::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    accessors! {
        list: List Vec<Json<'a>>,
        word: Text String,
        number: Number f64,
        bool: Bool bool,
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, expected: &str) -> Result<T, String> {
        Err(format!("byte {}: expected {expected}", self.at))
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\n', '\r', '\t']).len();
    }

    /// Takes a piece of text where it comes next.
    fn eat(&mut self, piece: &str) -> bool {
        self.space();
        let there = self.text[self.at..].starts_with(piece);
        self.at += if there { piece.len() } else { 0 };
        there
    }

    fn value(&mut self) -> Result<Json<'a>, String> {
        self.space();
        let start = self.at;
        let kind = if self.eat("{") {
            Kind::Object(self.items("}", |reader| {
                let key = reader.string()?;
                if !reader.eat(":") {
                    return reader.fail(":");
                }
                Ok((key, reader.value()?))
            })?)
        } else if self.eat("[") {
            Kind::List(self.items("]", Self::value)?)
        } else if self.text[start..].starts_with('"') {
            Kind::Text(self.string()?)
        } else if self.eat("true") {
            Kind::Bool(true)
        } else if self.eat("false") {
            Kind::Bool(false)
        } else {
            let rest = &self.text[start..];
            self.at += rest.find(|c| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E')).unwrap_or(rest.len());
            let Ok(number) = self.text[start..self.at].parse() else {
                return self.fail("a value");
            };
            Kind::Number(number)
        };
        Ok(Json { text: &self.text[start..self.at], kind })
    }

    fn items<T>(&mut self, end: &str, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let mut items = Vec::new();
        while !self.eat(end) {
            if !items.is_empty() && !self.eat(",") {
                return self.fail(",");
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Names and words: no escapes.
    fn string(&mut self) -> Result<String, String> {
        let length = if self.eat("\"") { self.text[self.at..].find('"') } else { None };
        let Some(length) = length else {
            return self.fail("a text");
        };
        let text = &self.text[self.at..self.at + length];
        self.at += length + 1;
        if text.contains('\\') {
            return self.fail("a text without escapes");
        }
        Ok(text.to_owned())
    }
}
