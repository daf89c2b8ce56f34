//! Cloakroom from outside: real processes, real sockets, a scripted application, browsers with cookie jars, a private
//! Redis. Each module is one topic of the contract; each test is one sentence of it. The support code holds the
//! global invariants against every one of them.

mod admin;
mod answers;
mod balance;
mod caches;
mod canaries;
mod configuration;
mod connect;
mod crashes;
mod crowd;
mod data;
mod disk;
mod django;
mod documentation;
mod drain;
mod endings;
mod errors;
mod hangups;
mod hostile_frames;
mod legacy;
mod life;
mod listeners;
mod load;
mod metrics;
mod moving;
mod order;
mod out_of_band;
mod outage;
mod overlaps;
mod protocols;
mod races;
mod realms;
mod redis;
mod reload;
mod requests;
mod revocations;
mod rotation;
mod seals;
mod slow;
mod streams;
mod support;
mod transports;
mod trust;
mod tunnels;
