//! One test for each rule of the protocol, named as a sentence, with its section.

mod commit;
pub(crate) mod fixtures;
mod gather;
mod kept;
mod operational;
mod origins;
mod pieces;
mod recovery;
mod settings;
mod table;
mod together;
