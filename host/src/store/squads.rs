//! squads
