//! Collectors, exposition, scraping, a time-series store, PromQL and alert rules.
