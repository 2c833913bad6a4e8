use super::*;
use crate::recipe::testing;

fn count(recipes: &[Arc<Recipe>], process: &str) -> usize {
    recipes
        .iter()
        .filter(|recipe| recipe.process.as_str() == process)
        .count()
}

#[test]
fn a_canary_grows_with_its_share_and_workers_wait() {
    let web = Arc::new(testing::recipe("web", true));
    let worker = Arc::new(testing::recipe("worker", false));
    let mut all = vec![web; 4];
    all.extend(vec![worker; 2]);
    let mut left = all.clone();
    assert_eq!(batch(&all, &mut left, 5).len(), 1, "at least one");
    assert_eq!(batch(&all, &mut left, 25).len(), 0, "one of four is 25%");
    assert_eq!(batch(&all, &mut left, 50).len(), 1);
    assert_eq!(batch(&all, &mut left, 60).len(), 1, "rounded up");
    assert_eq!((count(&left, "web"), count(&left, "worker")), (1, 2));
    assert_eq!(batch(&all, &mut left, 99).len(), 1);
    assert_eq!((count(&left, "web"), count(&left, "worker")), (0, 2));
}

#[test]
fn a_canary_by_header_is_one_instance() {
    let all: Vec<_> = (0..3)
        .map(|_| Arc::new(testing::recipe("web", true)))
        .collect();
    let mut left = all.clone();
    assert_eq!(batch(&all, &mut left, 0).len(), 1);
    assert_eq!(left.len(), 2);
}
