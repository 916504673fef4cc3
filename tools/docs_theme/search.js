"use strict";
// Which sections hold every word that is typed, those that hold it in a title first; nothing is asked of a server.
const field = document.getElementById("search-words");
const list = document.getElementById("search-results");
const count = document.getElementById("search-count");
const menu = document.querySelector(".menu");
const wide = window.matchMedia("(min-width: 821px)");
const MOST = 12;
const MOST_OF_A_PAGE = 3;

function openMenu() { menu.open = wide.matches; }
openMenu();
wide.addEventListener("change", openMenu);
const current = menu.querySelector("[aria-current]");
if (current && wide.matches) menu.scrollTop = current.offsetTop - menu.clientHeight / 2;

function scoreOf(section, words) {
  let score = 0;
  for (const word of words) {
    const title = section.title.toLowerCase(), page = section.page.toLowerCase();
    const place = section.lower.indexOf(word);
    if (title.split(/[^\p{L}\d]+/u).includes(word)) score += 12;
    else if (title.includes(word)) score += 8;
    else if (page.includes(word)) score += 4;
    else if (place >= 0) score += 1 + Math.min(section.lower.split(word).length - 1, 8) / 8;
    else return 0;
  }
  return score / (section.page === section.title ? 0.8 : 1);
}

function found(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  return window.searchWords
    .map((section) => {
      section.lower ??= section.text.toLowerCase();
      return { section, score: scoreOf(section, words), words };
    })
    .filter((hit) => hit.score > 0)
    .sort((a, b) => b.score - a.score)
    .filter(seldom());
}

function seldom() {
  const seen = new Map();
  return ({ section }) => {
    seen.set(section.page, (seen.get(section.page) ?? 0) + 1);
    return seen.get(section.page) <= MOST_OF_A_PAGE;
  };
}

function excerpt(section, words) {
  const place = Math.max(0, section.lower.indexOf(words[0]) - 40);
  return (place ? "… " : "") + section.text.slice(place, place + 150) + (section.text.length > place + 150 ? " …" : "");
}

function entry({ section, words }, index) {
  const link = document.createElement("a");
  link.href = `${field.dataset.home}/${section.address}`;
  link.id = `search-result-${index}`;
  link.setAttribute("role", "option");
  const title = document.createElement("b");
  title.textContent = section.page === section.title ? section.title : `${section.page} › ${section.title}`;
  const text = document.createElement("span");
  text.textContent = excerpt(section, words);
  link.append(title, text);
  return link;
}

function show() {
  const hits = found(field.value);
  list.replaceChildren(...hits.slice(0, MOST).map(entry));
  list.hidden = !hits.length;
  field.setAttribute("aria-expanded", String(!list.hidden));
  count.textContent = field.value.trim() ? `${hits.length} found` : "";
  choose(0);
}

function choose(index) {
  const links = [...list.children];
  for (const [place, link] of links.entries()) link.setAttribute("aria-selected", String(place === index));
  if (links[index]) {
    field.setAttribute("aria-activedescendant", links[index].id);
    links[index].scrollIntoView({ block: "nearest" });
  } else field.removeAttribute("aria-activedescendant");
}

function hide() {
  list.hidden = true;
  field.setAttribute("aria-expanded", "false");
}

field.addEventListener("input", show);
field.addEventListener("focus", show);
field.addEventListener("keydown", (event) => {
  const links = [...list.children];
  const chosen = links.findIndex((link) => link.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    choose((chosen + (event.key === "ArrowDown" ? 1 : -1) + links.length) % Math.max(links.length, 1));
  } else if (event.key === "Enter" && links[chosen]) window.location.href = links[chosen].href;
  else if (event.key === "Escape") hide();
});
document.addEventListener("click", (event) => { if (!event.target.closest(".search")) hide(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(input|textarea|select)$/i.test(document.activeElement.tagName)) {
    event.preventDefault();
    field.focus();
  }
});
