//! The smallest program: join a group, say hello, and print what everybody in the group sees.
//!
//! `cargo run --example first`, on each host; stop it with Ctrl-C.

use evs::{Client, Event, Group, Guarantee};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::connect()?;
    let group = Group::named("greetings").expect("at most 32 bytes");
    client.join(&[group])?;
    let hello = format!("hello from {}", client.processor());
    client.send(Guarantee::Agreed, &[group], hello.as_bytes())?;
    loop {
        match client.recv()? {
            Event::Regular { ring, members, left, joined, .. } => {
                println!("configuration {ring}: {members}, left {left}, joined {joined}");
            }
            Event::Transitional { members, .. } => println!("on the way with {members}"),
            Event::Message(message) => {
                let text = String::from_utf8_lossy(&message.body);
                println!("{} at {}/{}: {text}", message.id, message.ring, message.seq);
            }
            Event::Gap { reason } => println!("missed something: {reason}"),
            Event::Disconnected { reason } => println!("the end: {reason}"),
            _ => {}
        }
    }
}
