//! The slow, obvious evaluator that the judge is held against. Written from DESIGN's text with strings and paths; it
//! shares no code with the judge.
