//! Methods of lists and maps. Closures get snapshots: a list changed while it is gone through is not seen half-changed.

use std::cmp::Ordering;
use std::sync::Mutex;

use super::super::interpreter::{Thrown, compare, entry};
use super::super::value::{Closure, Map, locked};
use super::{Call, Called, Value, contains, snapshot};

fn size(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

pub(super) fn list(
    call: &Call<'_, '_>,
    items: &std::sync::Arc<Mutex<Vec<Value>>>,
    name: &str,
) -> Called {
    if let Some(changed) = changing(call, items, name) {
        return Some(changed);
    }
    let all = snapshot(items);
    match name {
        "size" | "length" => Some(Ok(size(all.len()))),
        "isEmpty" => Some(Ok(Value::Bool(all.is_empty()))),
        "contains" => Some(Ok(Value::Bool(
            call.arg(0).is_some_and(|item| contains(&all, item)),
        ))),
        "containsAll" => Some(
            call.interpreter
                .items(call.arg(0)?, call.span)
                .map(|wanted| Value::Bool(wanted.iter().all(|item| contains(&all, item)))),
        ),
        "get" | "getAt" => Some(match call.place_arg(0, all.len()) {
            Ok(at) => Ok(all.get(at).cloned().unwrap_or_default()),
            Err(thrown) => Err(thrown),
        }),
        "indexOf" => {
            let at = all
                .iter()
                .position(|item| call.arg(0).is_some_and(|wanted| wanted.equals(item)));
            Some(Ok(Value::Int(
                at.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX)),
            )))
        }
        "first" | "head" => Some(end(call, all.first())),
        "last" => Some(end(call, all.last())),
        "tail" => Some(Ok(Value::list(all.into_iter().skip(1)))),
        "init" => {
            let length = all.len().saturating_sub(1);
            Some(Ok(Value::list(all.into_iter().take(length))))
        }
        "take" => Some(Ok(Value::list(
            all.into_iter()
                .take(usize::try_from(call.int_arg(0)?).unwrap_or(0)),
        ))),
        "drop" => Some(Ok(Value::list(
            all.into_iter()
                .skip(usize::try_from(call.int_arg(0)?).unwrap_or(0)),
        ))),
        "subList" => Some((|| {
            let (from, to) = (call.place_arg(0, all.len())?, call.place_arg(1, all.len())?);
            Ok(Value::list(
                all.get(from..to).unwrap_or_default().iter().cloned(),
            ))
        })()),
        "reverse" => Some(Ok(Value::list(all.into_iter().rev()))),
        "join" => {
            let separator = call.text_arg(0);
            Some(Ok(all
                .iter()
                .map(Value::to_text)
                .collect::<Vec<_>>()
                .join(&separator)
                .into()))
        }
        "plus" => Some(
            call.interpreter
                .items(call.arg(0)?, call.span)
                .map(|more| Value::list([all, more].concat())),
        ),
        "minus" => Some(
            call.interpreter
                .items(call.arg(0)?, call.span)
                .map(|gone| Value::list(all.into_iter().filter(|item| !contains(&gone, item)))),
        ),
        "intersect" => Some(
            call.interpreter
                .items(call.arg(0)?, call.span)
                .map(|other| Value::list(all.into_iter().filter(|item| contains(&other, item)))),
        ),
        "toList" | "asImmutable" | "toArray" | "iterator" | "stream" => Some(Ok(Value::list(all))),
        "toSet" | "toUnique" => Some(Ok(Value::list(unique(all)))),
        "flatten" => Some(flatten(call, &all, 0).map(Value::list)),
        "sum" => Some(sum(call, &all)),
        "min" | "max" => Some(extreme(call, &all, name == "max")),
        "inject" => Some(inject(call, all)),
        "groupBy" => Some(group(call, &all)),
        "withIndex" => Some(Ok(Value::list(
            all.into_iter()
                .enumerate()
                .map(|(at, item)| Value::list([item, size(at)])),
        ))),
        "collectEntries" => Some(collect_entries(call, all)),
        "eachWithIndex" => Some((|| {
            let Some(closure) = call.closure_arg() else {
                return Ok(Value::Null);
            };
            for (at, item) in all.into_iter().enumerate() {
                call.run(closure, vec![item, size(at)])?;
            }
            Ok(Value::List(items.clone()))
        })()),
        _ => through(
            call,
            all.into_iter().map(|item| vec![item]).collect(),
            name,
            Value::List(items.clone()),
        ),
    }
}

fn end(call: &Call<'_, '_>, item: Option<&Value>) -> Result<Value, Thrown> {
    let empty = || {
        Thrown::new(
            "java.util.NoSuchElementException",
            "the list is empty",
            call.span,
        )
    };
    item.cloned().ok_or_else(empty)
}

/// Methods that change the list itself.
fn changing(call: &Call<'_, '_>, items: &Mutex<Vec<Value>>, name: &str) -> Called {
    Some(Ok(match name {
        "add" | "push" | "leftShift" => {
            let mut items = locked(items);
            if items.len() >= 1 << 20 {
                return Some(Err(Thrown::fatal(
                    "the list is over its limit of 1048576 items",
                    call.span,
                )));
            }
            match (call.int_arg(0), call.arg(1)) {
                (Some(at), Some(item)) => {
                    let at = usize::try_from(at).unwrap_or(0).min(items.len());
                    items.insert(at, item.clone());
                }
                _ => items.push(call.arg(0)?.clone()),
            }
            Value::Bool(true)
        }
        "addAll" => match call.interpreter.items(call.arg(0)?, call.span) {
            Ok(more) => {
                let mut items = locked(items);
                if items.len() + more.len() > 1 << 20 {
                    return Some(Err(Thrown::fatal(
                        "the list is over its limit of 1048576 items",
                        call.span,
                    )));
                }
                items.extend(more);
                Value::Bool(true)
            }
            Err(thrown) => return Some(Err(thrown)),
        },
        "remove" | "removeAt" => {
            let mut items = locked(items);
            match call.arg(0)? {
                Value::Int(at) => {
                    let at = usize::try_from(*at).ok().filter(|at| *at < items.len())?;
                    items.remove(at)
                }
                item => {
                    let at = items.iter().position(|found| found.equals(item));
                    if let Some(at) = at {
                        items.remove(at);
                    }
                    Value::Bool(at.is_some())
                }
            }
        }
        "pop" => locked(items).pop().unwrap_or_default(),
        "clear" => {
            locked(items).clear();
            Value::Null
        }
        "removeAll" => {
            let kept = match (call.closure_arg(), call.arg(0)?) {
                (Some(closure), _) => keep(call, snapshot(items), closure, false),
                (None, gone) => call.interpreter.items(gone, call.span).map(|gone| {
                    snapshot(items)
                        .into_iter()
                        .filter(|item| !contains(&gone, item))
                        .collect()
                }),
            };
            match kept {
                Ok(kept) => *locked(items) = kept,
                Err(thrown) => return Some(Err(thrown)),
            }
            Value::Bool(true)
        }
        "sort" | "toSorted" => match sorted(call, snapshot(items)) {
            Ok(sorted) => {
                // `sort()` changes the list, `sort(false)` and `toSorted()` don't.
                if name == "sort" && !matches!(call.arg(0), Some(Value::Bool(false))) {
                    locked(items).clone_from(&sorted);
                }
                Value::list(sorted)
            }
            Err(thrown) => return Some(Err(thrown)),
        },
        "unique" => {
            let kept = unique(snapshot(items));
            locked(items).clone_from(&kept);
            Value::list(kept)
        }
        _ => return None,
    }))
}

fn keep(
    call: &Call<'_, '_>,
    items: Vec<Value>,
    closure: &Closure,
    wanted: bool,
) -> Result<Vec<Value>, Thrown> {
    let mut kept = Vec::new();
    for item in items {
        if call.run(closure, vec![item.clone()])?.is_true() == wanted {
            kept.push(item);
        }
    }
    Ok(kept)
}

fn unique(items: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !contains(&kept, &item) {
            kept.push(item);
        }
    }
    kept
}

fn flatten(call: &Call<'_, '_>, items: &[Value], depth: usize) -> Result<Vec<Value>, Thrown> {
    if depth > 32 {
        return Err(Thrown::fatal("the list is nested too deeply", call.span));
    }
    let mut flat = Vec::new();
    for item in items {
        match item {
            Value::List(inner) => flat.extend(flatten(call, &snapshot(inner), depth + 1)?),
            other => flat.push(other.clone()),
        }
    }
    Ok(flat)
}

fn sum(call: &Call<'_, '_>, items: &[Value]) -> Result<Value, Thrown> {
    let mut total: Option<Value> = None;
    for item in items {
        let item = match call.closure_arg() {
            Some(closure) => call.run(closure, vec![item.clone()])?,
            None => item.clone(),
        };
        total = Some(match (total, item) {
            (None, item) => item,
            (Some(Value::Int(a)), Value::Int(b)) => Value::Int(a.wrapping_add(b)),
            (Some(a), b) => match (a.as_decimal(), b.as_decimal()) {
                (Some(a), Some(b)) => Value::Decimal(a + b),
                _ => (a.to_text() + &b.to_text()).into(),
            },
        });
    }
    Ok(total.unwrap_or_default())
}

/// Sorts by natural order, by a closure of one argument (a key) or of two (a comparison).
fn sorted(call: &Call<'_, '_>, items: Vec<Value>) -> Result<Vec<Value>, Thrown> {
    let mut failed = None;
    let closure = call.closure_arg();
    let two = closure.is_some_and(|closure| {
        closure
            .code
            .parameters
            .as_ref()
            .is_some_and(|names| names.len() == 2)
    });
    let mut keyed = Vec::new();
    for item in items {
        let key = match closure {
            Some(closure) if !two => call.run(closure, vec![item.clone()])?,
            _ => item.clone(),
        };
        keyed.push((key, item));
    }
    let order = |(a, _): &(Value, Value), (b, _): &(Value, Value)| {
        let order = match closure {
            Some(closure) if two => {
                call.run(closure, vec![a.clone(), b.clone()])
                    .map(|order| match order {
                        Value::Int(order) => order.cmp(&0),
                        other => other
                            .as_decimal()
                            .and_then(|order| order.partial_cmp(&0.0))
                            .unwrap_or(Ordering::Equal),
                    })
            }
            _ => compare(a, b, call.span),
        };
        order.unwrap_or_else(|thrown| {
            failed.get_or_insert(thrown);
            Ordering::Equal
        })
    };
    merge_sort(&mut keyed, order);
    failed.map_or(Ok(()), Err)?;
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

/// A stable sort that bears any order: the standard library's may panic on one that contradicts itself, and a script's
/// closure can.
fn merge_sort<T: Clone>(items: &mut Vec<T>, mut order: impl FnMut(&T, &T) -> Ordering) {
    let mut width = 1;
    while width < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for start in (0..items.len()).step_by(2 * width) {
            let middle = (start + width).min(items.len());
            let end = (start + 2 * width).min(items.len());
            let (mut left, mut right) = (start, middle);
            while left < middle && right < end {
                let from = if order(&items[right], &items[left]) == Ordering::Less {
                    &mut right
                } else {
                    &mut left
                };
                merged.push(items[*from].clone());
                *from += 1;
            }
            merged.extend_from_slice(&items[left..middle]);
            merged.extend_from_slice(&items[right..end]);
        }
        *items = merged;
        width *= 2;
    }
}

fn extreme(call: &Call<'_, '_>, items: &[Value], greatest: bool) -> Result<Value, Thrown> {
    let sorted = sorted(call, items.to_vec())?;
    let found = if greatest {
        sorted.last()
    } else {
        sorted.first()
    };
    Ok(found.cloned().unwrap_or_default())
}

fn inject(call: &Call<'_, '_>, items: Vec<Value>) -> Result<Value, Thrown> {
    let Some(closure) = call.closure_arg() else {
        return Ok(Value::Null);
    };
    let mut items = items.into_iter();
    let mut total = match call.args.positional.as_slice() {
        [initial, _] => initial.clone(),
        _ => items.next().unwrap_or_default(),
    };
    for item in items {
        total = call.run(closure, vec![total, item])?;
    }
    Ok(total)
}

fn group(call: &Call<'_, '_>, items: &[Value]) -> Result<Value, Thrown> {
    let Some(closure) = call.closure_arg() else {
        return Ok(Value::Null);
    };
    let mut groups = Map::default();
    for item in items {
        let key = call.run(closure, vec![item.clone()])?;
        match groups.get(&key) {
            Some(Value::List(found)) => locked(found).push(item.clone()),
            _ => {
                groups.insert(key, Value::list([item.clone()]));
            }
        }
    }
    Ok(Value::Map(std::sync::Arc::new(Mutex::new(groups))))
}

fn collect_entries(call: &Call<'_, '_>, items: Vec<Value>) -> Result<Value, Thrown> {
    let mut map = Map::default();
    for item in items {
        let made = match call.closure_arg() {
            Some(closure) => call.run(closure, vec![item])?,
            None => item,
        };
        match &made {
            Value::List(pair) => {
                let pair = snapshot(pair);
                if let [key, value] = pair.as_slice() {
                    map.insert(key.clone(), value.clone());
                }
            }
            Value::Map(entries) => {
                for (key, value) in locked(entries).clone().iter() {
                    map.insert(key.clone(), value.clone());
                }
            }
            _ => {}
        }
    }
    Ok(Value::Map(std::sync::Arc::new(Mutex::new(map))))
}

/// Methods that go through all items with a closure; each item is the arguments that the closure gets.
fn through(call: &Call<'_, '_>, items: Vec<Vec<Value>>, name: &str, whole: Value) -> Called {
    let closure = call.closure_arg();
    let first = |args: &Vec<Value>| args.first().cloned().unwrap_or_default();
    let run = || -> Result<Option<Value>, Thrown> {
        Ok(Some(match name {
            "each" => {
                for args in items {
                    if let Some(closure) = closure {
                        call.run(closure, args)?;
                    }
                }
                whole
            }
            "collect" => {
                let mut made = Vec::new();
                for args in items {
                    made.push(match closure {
                        Some(closure) => call.run(closure, args)?,
                        None => first(&args),
                    });
                }
                Value::list(made)
            }
            "collectMany" => {
                let mut made = Vec::new();
                for args in items {
                    if let Some(closure) = closure {
                        let more = call.run(closure, args)?;
                        made.extend(call.interpreter.items(&more, call.span)?);
                    }
                }
                Value::list(made)
            }
            "find" | "findResult" => {
                for args in items {
                    let item = first(&args);
                    match closure {
                        Some(closure) => {
                            let found = call.run(closure, args)?;
                            if found.is_true() {
                                return Ok(Some(if name == "find" { item } else { found }));
                            }
                        }
                        None if item.is_true() => return Ok(Some(item)),
                        None => {}
                    }
                }
                Value::Null
            }
            "findAll" | "grep" => {
                let mut found = Vec::new();
                for args in items {
                    let item = first(&args);
                    if call.test(closure, args)? {
                        found.push(item);
                    }
                }
                Value::list(found)
            }
            "findIndexOf" => {
                for (at, args) in items.into_iter().enumerate() {
                    if call.test(closure, args)? {
                        return Ok(Some(size(at)));
                    }
                }
                Value::Int(-1)
            }
            "any" => {
                for args in items {
                    if call.test(closure, args)? {
                        return Ok(Some(Value::Bool(true)));
                    }
                }
                Value::Bool(false)
            }
            "every" => {
                for args in items {
                    if !call.test(closure, args)? {
                        return Ok(Some(Value::Bool(false)));
                    }
                }
                Value::Bool(true)
            }
            "count" => {
                let mut count = 0;
                for args in items {
                    count += i64::from(match closure {
                        Some(_) => call.test(closure, args)?,
                        None => call
                            .arg(0)
                            .is_some_and(|wanted| wanted.equals(&first(&args))),
                    });
                }
                Value::Int(count)
            }
            _ => return Ok(None),
        }))
    };
    run().transpose()
}

pub(super) fn map(call: &Call<'_, '_>, map: &std::sync::Arc<Mutex<Map>>, name: &str) -> Called {
    let plain = |value| Some(Ok(value));
    let all = locked(map).clone();
    match name {
        "get" | "getAt" => plain(
            all.get(call.arg(0)?)
                .cloned()
                .or_else(|| call.arg(1).cloned())
                .unwrap_or_default(),
        ),
        "getOrDefault" => plain(
            all.get(call.arg(0)?)
                .cloned()
                .unwrap_or_else(|| call.arg(1).cloned().unwrap_or_default()),
        ),
        "put" | "putAt" => {
            let (key, value) = (call.arg(0)?.clone(), call.arg(1)?.clone());
            plain(locked(map).insert(key, value).unwrap_or_default())
        }
        "putAll" => {
            if let Value::Map(more) = call.arg(0)? {
                let more = locked(more).clone();
                let mut map = locked(map);
                for (key, value) in more.iter() {
                    map.insert(key.clone(), value.clone());
                }
            }
            plain(Value::Null)
        }
        "remove" => plain(locked(map).remove(call.arg(0)?).unwrap_or_default()),
        "clear" => {
            *locked(map) = Map::default();
            plain(Value::Null)
        }
        "containsKey" => plain(Value::Bool(all.get(call.arg(0)?).is_some())),
        "containsValue" => {
            let wanted = call.arg(0)?;
            plain(Value::Bool(
                all.iter().any(|(_, value)| value.equals(wanted)),
            ))
        }
        "keySet" => plain(Value::list(all.iter().map(|(key, _)| key.clone()))),
        "values" => plain(Value::list(all.iter().map(|(_, value)| value.clone()))),
        "entrySet" => plain(Value::list(
            all.iter().map(|(key, value)| entry(key, value)),
        )),
        "size" => plain(size(all.len())),
        "isEmpty" => plain(Value::Bool(all.is_empty())),
        "subMap" => Some(call.interpreter.items(call.arg(0)?, call.span).map(|keys| {
            Value::map(
                keys.into_iter()
                    .filter_map(|key| all.get(&key).cloned().map(|value| (key, value))),
            )
        })),
        "sort" | "toSorted" => {
            let entries = all.iter().map(|(key, value)| match call.closure_arg() {
                Some(_) => entry(key, value),
                None => Value::list([key.clone(), value.clone()]),
            });
            Some(sort_map(call, entries.collect()))
        }
        "findAll" => Some((|| {
            let mut kept = Vec::new();
            for (key, value) in all.iter() {
                if call.test(call.closure_arg(), entry_args(call, key, value))? {
                    kept.push((key.clone(), value.clone()));
                }
            }
            Ok(Value::map(kept))
        })()),
        "collectEntries" => Some((|| {
            let mut made = Vec::new();
            for (key, value) in all.iter() {
                match call.closure_arg() {
                    Some(closure) => made.push(call.run(closure, entry_args(call, key, value))?),
                    None => made.push(Value::list([key.clone(), value.clone()])),
                }
            }
            let plain_call = Call {
                interpreter: call.interpreter,
                args: &super::Args::default(),
                span: call.span,
            };
            collect_entries(&plain_call, made)
        })()),
        // `find` gives the entry, whatever the closure's parameters.
        "find" => Some((|| {
            for (key, value) in all.iter() {
                if call.test(call.closure_arg(), entry_args(call, key, value))? {
                    return Ok(entry(key, value));
                }
            }
            Ok(Value::Null)
        })()),
        _ => {
            let items = all
                .iter()
                .map(|(key, value)| entry_args(call, key, value))
                .collect();
            through(call, items, name, Value::Map(map.clone()))
        }
    }
}

/// A map's entry for a closure: `entry` alone, or `key, value` where it has two parameters.
fn entry_args(call: &Call<'_, '_>, key: &Value, value: &Value) -> Vec<Value> {
    let two = call.closure_arg().is_some_and(|closure| {
        closure
            .code
            .parameters
            .as_ref()
            .is_some_and(|names| names.len() >= 2)
    });
    if two {
        vec![key.clone(), value.clone()]
    } else {
        vec![entry(key, value)]
    }
}

fn sort_map(call: &Call<'_, '_>, entries: Vec<Value>) -> Result<Value, Thrown> {
    let pair = |item: &Value| match item {
        Value::List(pair) => {
            let pair = snapshot(pair);
            (
                pair.first().cloned().unwrap_or_default(),
                pair.get(1).cloned().unwrap_or_default(),
            )
        }
        Value::Map(entry) => {
            let entry = locked(entry).clone();
            let field = |name| entry.get_text(name).cloned().unwrap_or_default();
            (field("key"), field("value"))
        }
        _ => (Value::Null, Value::Null),
    };
    if call.closure_arg().is_some() {
        return Ok(Value::map(sorted(call, entries)?.iter().map(pair)));
    }
    let mut failed = None;
    let mut pairs: Vec<_> = entries.iter().map(pair).collect();
    merge_sort(&mut pairs, |(a, _), (b, _)| {
        compare(a, b, call.span).unwrap_or_else(|thrown| {
            failed.get_or_insert(thrown);
            Ordering::Equal
        })
    });
    failed.map_or(Ok(()), Err)?;
    Ok(Value::map(pairs))
}
