//! Effects of keys, played without a terminal.

use super::confirm::{Order, Verb};
use super::keymap::Key;
use super::model::{Effect, Message, Model, Overlay};
use super::rows::{Pane, SortKey};
use super::screens::{alarmed, calm, drawn, leaked, now, press};

fn chosen(model: &Model) -> String {
    let rows = model.rows();
    rows[model.list().place(&rows)].name.clone()
}

fn chars(text: &str) -> Vec<Key> {
    text.chars().map(Key::Char).collect()
}

fn told(model: &Model) -> &str {
    model.notice.as_ref().map_or("", |(told, _)| told)
}

#[test]
fn it_ends_by_q_escape_and_control_c() {
    for key in [Key::Char('q'), Key::Esc, Key::Interrupt] {
        assert_eq!(press(&mut calm(), &[key]), Some(Effect::Quit));
    }
    // Control and c ends it wherever one is, but for the question: there it says no.
    assert_eq!(press(&mut calm(), &[Key::Char('/'), Key::Interrupt]), Some(Effect::Quit));
    assert_eq!(press(&mut calm(), &[Key::Char('?'), Key::Interrupt]), Some(Effect::Quit));
}

#[test]
fn escape_goes_back_before_it_ends_anything() {
    let mut model = calm();
    press(&mut model, &chars("/07"));
    press(&mut model, &[Key::Enter]);
    assert_eq!(model.rows().len(), 1);
    assert_eq!(press(&mut model, &[Key::Esc]), None);
    assert_eq!((model.filter.as_str(), model.rows().len()), ("", 30));
    press(&mut model, &[Key::Enter]);
    assert!(model.detail.is_some());
    assert_eq!(press(&mut model, &[Key::Esc]), Some(Effect::LookAt(None)));
    assert_eq!(press(&mut model, &[Key::Esc]), Some(Effect::Quit));
}

#[test]
fn lists_are_turned_by_tab_and_numbers() {
    let mut model = calm();
    for (key, pane) in [
        (Key::Tab, Pane::Incidents),
        (Key::Tab, Pane::Decisions),
        (Key::Tab, Pane::Credentials),
        (Key::BackTab, Pane::Decisions),
        (Key::Char('2'), Pane::Incidents),
        (Key::Char('1'), Pane::Credentials),
    ] {
        press(&mut model, &[key]);
        assert_eq!(model.pane, pane);
    }
}

#[test]
fn the_cursor_stays_within_the_list() {
    let mut model = calm();
    model.update(Message::Resized(24));
    let first = chosen(&model);
    press(&mut model, &[Key::Char('k'), Key::PageUp]);
    assert_eq!(chosen(&model), first);
    press(&mut model, &[Key::End]);
    let last = chosen(&model);
    press(&mut model, &[Key::Char('j'), Key::PageDown, Key::Down]);
    assert_eq!(chosen(&model), last);
    press(&mut model, &[Key::PageUp]);
    assert_eq!(chosen(&model), model.rows()[29 - 16].name);
    press(&mut model, &[Key::Char('g')]);
    assert_eq!(chosen(&model), first);
}

#[test]
fn the_cursor_stays_on_its_credential_when_others_come_before_it() {
    let mut model = calm();
    press(&mut model, &[Key::Char('j'), Key::Char('j')]);
    let before = chosen(&model);
    model.update(Message::Answered(Box::new(leaked()), now()));
    assert_eq!(chosen(&model), before);
    assert_eq!(chosen(&alarmed()), "api_key:key_leaked", "on the first unless it was moved");
}

#[test]
fn a_filter_takes_letters_that_are_keys_elsewhere() {
    let mut model = alarmed();
    press(&mut model, &chars("/LEAKXq"));
    assert_eq!((model.rows().len(), model.filtering), (0, true));
    assert!(drawn(&model, 80, 24).contains("no match for the filter"));
    press(&mut model, &[Key::Backspace, Key::Backspace]);
    assert_eq!(chosen(&model), "api_key:key_leaked");
    model.update(Message::Pasted("ed\u{1b}".to_owned()));
    press(&mut model, &[Key::Enter]);
    assert_eq!((model.filter.as_str(), model.filtering), ("LEAKed", false));
    press(&mut model, &[Key::Char('3')]);
    assert_eq!(model.rows().len(), 2, "it holds for all lists");
}

#[test]
fn rows_are_sorted_by_one_column_after_the_other_and_turned() {
    let mut model = alarmed();
    press(&mut model, &[Key::Char('s')]);
    assert_eq!(
        (model.list().by, chosen(&model)),
        (SortKey::Minute, "api_key:key_leaked".to_owned())
    );
    press(&mut model, &[Key::Char('S')]);
    assert_ne!(chosen(&model), "api_key:key_leaked");
    press(&mut model, &vec![Key::Char('s'); Pane::Credentials.sorts().len() - 1]);
    assert_eq!(model.list().by, SortKey::Attention);
}

#[test]
fn a_screen_that_stands_still_says_so_and_goes_on() {
    let mut model = calm();
    press(&mut model, &[Key::Char(' ')]);
    model.update(Message::Answered(Box::new(leaked()), now().plus_ms(7000)));
    assert_eq!(model.rows().len(), 30);
    assert!(drawn(&model, 80, 24).contains("PAUSED, 7 s old"));
    press(&mut model, &[Key::Char(' ')]);
    model.update(Message::Answered(Box::new(leaked()), now().plus_ms(8000)));
    assert_eq!(model.rows().len(), 32);
}

#[test]
fn without_operate_nothing_is_ordered() {
    for key in ['x', 'X', 'r'] {
        let mut model = alarmed();
        assert_eq!(press(&mut model, &[Key::Char(key)]), None);
        assert!(matches!(model.over, Overlay::Nothing) && told(&model).contains("--operate"));
    }
}

#[test]
fn who_may_not_operate_is_told_before_asked() {
    let mut model = alarmed();
    model.operate = true;
    model.snapshot.status.roles = vec!["read".to_owned()];
    press(&mut model, &[Key::Char('x')]);
    assert!(matches!(model.over, Overlay::Nothing) && told(&model).contains("may not suspend"));
}

#[test]
fn an_order_is_about_the_credential_that_was_asked_about() {
    let mut model = calm();
    model.operate = true;
    let first = chosen(&model);
    press(&mut model, &[Key::Char('x')]);
    // Another comes before it while the question stands.
    model.update(Message::Answered(Box::new(leaked()), now()));
    press(&mut model, &chars("too loud"));
    let order = Order {
        verb: Verb::Suspend,
        name: first,
        reason: "too loud".to_owned(),
        lasts_s: Some(900),
    };
    assert_eq!(press(&mut model, &[Key::Enter]), Some(Effect::Order(order)));
    assert!(told(&model).contains("ordering"));
    model.update(Message::Ordered("done".to_owned(), now()));
    assert_eq!(told(&model), "done");
    model.update(Message::Tick(now().plus_ms(31_000)));
    assert_eq!(told(&model), "");
}

#[test]
fn orders_are_given_in_each_list_and_in_the_detail() {
    for keys in [chars("2r"), chars("3r"), vec![Key::Char('2'), Key::Enter, Key::Char('r')]] {
        let mut model = alarmed();
        model.operate = true;
        press(&mut model, &keys);
        let Overlay::Confirm(asked) = &model.over else { panic!("nothing is asked") };
        assert_eq!((asked.verb, asked.name.starts_with("api_key:key_")), (Verb::Restore, true));
        assert_eq!(press(&mut model, &[Key::Interrupt]), None, "it says no");
        assert_eq!(told(&model), "nothing was ordered");
    }
}
