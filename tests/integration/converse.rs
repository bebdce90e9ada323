//! The conversation: what people say in comments and boxes, who may, and the one answer.
//! The life cycle around it is a small stand-in (see `stage`), so that what fails here is the
//! conversation.

mod commands;
mod deputies;
mod faults;
mod kills;
mod people;
mod stage;
mod whole;
