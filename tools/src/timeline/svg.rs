//! An SVG document in the making: shapes with classes, and one style sheet.

/// Collects shapes; [`finish`](Self::finish) makes a document of them.
#[derive(Debug)]
pub(super) struct Svg {
    text: String,
}

impl Svg {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let title = escaped(title);
        Self {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
                 height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
                 <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
            ),
        }
    }

    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.push(format!("<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>\n"));
    }

    /// A path with strokes `width` wide.
    pub(super) fn path(&mut self, d: &str, class: &str, width: f64) {
        self.push(format!("<path class=\"{class}\" stroke-width=\"{width:.2}\" d=\"{d}\"/>\n"));
    }

    /// A rectangle; `tip` is shown under the pointer where it is not empty.
    pub(super) fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, tip: &str) {
        let tip = if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(tip)) };
        let width = width.max(0.0);
        self.push(format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">{tip}</rect>\n"
        ));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = escaped(text);
        self.push(format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n"));
    }

    /// One line of which the second part has a class of its own.
    pub(super) fn two_texts(
        &mut self,
        x: f64,
        y: f64,
        class: &str,
        (one, other): (&str, &str),
        second: &str,
    ) {
        let (one, other) = (escaped(one), escaped(other));
        self.push(format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" xml:space=\"preserve\">{one}\
             <tspan class=\"{second}\">{other}</tspan></text>\n"
        ));
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn push(&mut self, shape: impl AsRef<str>) {
        self.text.push_str(shape.as_ref());
    }
}

/// What XML allows in text: its five signs written out, control characters as a replacement sign.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' | '\r' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

const STYLE: &str = "
text { font: 13px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #24292f; }
.title { font-size: 20px; font-weight: 600; }
.label { font-weight: 600; }
.small { font-size: 12px; fill: #57606a; }
.words { font-size: 12px; }
.number { font-size: 11px; fill: #ffffff; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.paper { fill: #ffffff; }
.band { fill: #f3f5f8; }
.band.other { fill: #e9edf2; }
.axis { stroke: #8c959f; }
.rest { stroke: #d0d7de; }
.voice { fill: none; }
.caller { stroke: #2563b8; }
.agent { stroke: #c2570c; }
.avatar { stroke: #7d4fa0; }
.avatar-text { fill: #7d4fa0; }
.caller-text { fill: #2563b8; }
.agent-text { fill: #a84a08; }
.struck { fill: #8c959f; text-decoration: line-through; }
.down { stroke: #e5534b; stroke-width: 1.5; stroke-dasharray: 2 3; }
.up { fill: #3a9a5b; }
.cut { stroke: #c81e1e; stroke-width: 2.5; stroke-linecap: round; }
.barge { stroke: #c81e1e; stroke-width: 1.5; stroke-dasharray: 5 4; }
.alarm { fill: #c81e1e; font-weight: 600; }
.target-line { stroke: #57606a; stroke-dasharray: 3 4; }
.share { stroke: #ffffff; stroke-width: 1; }
.target { opacity: 0.6; }
.late { fill: none; stroke: #c81e1e; stroke-width: 2; }
.network { fill: #57606a; }
.end_of_turn { fill: #8a6d1d; }
.stt { fill: #2f6f9f; }
.responder { fill: #7d4fa0; }
.tts { fill: #b5502b; }
.queues { fill: #2b8078; }
.provider { fill: #8c5a6b; }
";
