// A pane of HTML whose controls report to Python. What a control does stands in its data-do.

const focusable = "button, input, select, textarea"

// how the active control is found again after the HTML was replaced
const place = box => {
  const active = box.getRootNode().activeElement
  if (!active?.dataset?.do) return null
  const { do: name, value } = active.dataset
  const same = [...box.querySelectorAll(`[data-do="${name}"]`)]
  return { name, value, at: same.indexOf(active), text: active.value, from: active.selectionStart }
}

const restore = (box, held) => {
  if (!held) return
  const same = [...box.querySelectorAll(`[data-do="${held.name}"]`)]
  const again = same.find(item => item.dataset.value === held.value) ?? same[held.at]
  if (!again) return
  if (again.matches("input[type=search], textarea")) {
    again.value = held.text
    again.setSelectionRange(held.from, held.from)
  }
  again.focus({ preventScroll: true })
}

// an image that cannot be drawn says why
const explain = async event => {
  const image = event.target
  if (image.tagName !== "IMG") return
  image.classList.add("failed")
  const answer = image.src.startsWith("data:") ? null : await fetch(image.src).catch(() => null)
  image.alt = image.title = answer ? await answer.text() : "The server does not answer."
}

const download = ({ name, mime, data }) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0))
  const link = document.createElement("a")
  link.href = URL.createObjectURL(new Blob([bytes], { type: mime }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}

const copy = async button => {
  const told = button.textContent
  try {
    const part = button.dataset.value
    const text = part ? button.closest("dialog").querySelector(part).textContent : location.href
    await navigator.clipboard.writeText(text)
    button.textContent = "Copied"
  } catch {
    button.textContent = "Select and copy it by hand"
  }
  setTimeout(() => { button.textContent = told }, 1600)
}

const theme = name => {
  const chosen = name ?? localStorage.getItem("fxrelay-theme") ?? ""
  for (const root of [document.documentElement, document.body]) {
    root.style.colorScheme = chosen || "light dark"
  }
  if (name) localStorage.setItem("fxrelay-theme", name)
}

const is_dark = box => {
  const scheme = getComputedStyle(box).colorScheme
  return scheme.includes("light") && scheme.includes("dark")
    ? matchMedia("(prefers-color-scheme: dark)").matches : scheme === "dark"
}

// the arrow keys walk over the images of a grid
const walk = (box, event) => {
  const tile = event.target.closest?.(".tile")
  if (!tile) return
  const tiles = [...tile.parentElement.querySelectorAll(".tile")]
  const top = tiles[0].getBoundingClientRect().top
  const columns = tiles.filter(t => Math.abs(t.getBoundingClientRect().top - top) < 2).length
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
  const next = tiles[tiles.indexOf(tile) + (steps[event.key] ?? NaN)]
  if (steps[event.key]) event.preventDefault()
  if (next) { next.focus(); next.click() }
}

const is_typing = event => {
  const target = event.composedPath()[0]
  return target.isContentEditable || target.matches?.("textarea, select, input:not([type=range])")
}

// keys for the page, and not for a notebook around it
const is_ours = event => {
  const path = event.composedPath()
  return path[0] === document.body || path.some(element => element.matches?.(".page"))
}

const in_dialog = event => event.composedPath().some(e => e.matches?.("dialog[open]"))

const shortcut = event => {
  const key = event.key.toLowerCase()
  if (event.ctrlKey || event.metaKey)
    return key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : ""
  return { escape: "escape", "/": "find-focus", "?": "help" }[key] ?? ""
}

// a range is brushed over a histogram
const brush = (chart, event, send) => {
  const box = chart.getBoundingClientRect()
  const at = e => Math.min(1, Math.max(0, (e.clientX - box.left) / box.width))
  const first = at(event), shade = chart.querySelector(".shade")
  const move = e => {
    const [low, high] = [first, at(e)].sort((a, b) => a - b)
    shade.setAttribute("x", `${100 * low}`)
    shade.setAttribute("width", `${100 * (high - low)}`)
  }
  const stop = e => {
    chart.removeEventListener("pointermove", move)
    const [low, high] = [first, at(e)].sort((a, b) => a - b)
    const wide = high - low > 0.01
    if (wide) send("brush", `${low.toFixed(4)} ${high.toFixed(4)} ${chart.dataset.value}`)
  }
  chart.setPointerCapture(event.pointerId)
  chart.addEventListener("pointermove", move)
  chart.addEventListener("pointerup", stop, { once: true })
}

export function render({ model, el }) {
  const box = document.createElement("div")
  const ended = new AbortController(), { signal } = ended
  box.className = "board"
  const send = (name, value = "", how = "") => {
    box.classList.add("waiting")
    model.send_msg({ do: name, value, how })
  }
  const mark = () => {
    for (const item of box.querySelectorAll("[data-do=show]")) {
      item.classList.toggle("current", item.dataset.value === model.current)
    }
  }
  const draw = () => {
    const held = place(box), was_open = box.querySelector("details")?.open
    box.innerHTML = model.html
    if (was_open) box.querySelector("details")?.setAttribute("open", "")
    mark()
    restore(box, held)
  }
  const here = {  // what needs no answer from Python
    copy: button => { copy(button); if (!button.dataset.value) send("share") },
    theme: () => theme(is_dark(box) ? "light" : "dark"),
    dialog: button => box.querySelector("dialog." + button.dataset.value)?.showModal(),
    close: button => button.closest("dialog")?.close(),
    pick: button => button.parentElement.querySelector("input[type=file]").click(),
  }
  box.addEventListener("click", event => {
    const target = event.target.closest("[data-do]")
    if (!target || target.matches("input, select, textarea, svg") || target.ariaDisabled === "true")
      return
    const { do: name, value } = target.dataset
    if (here[name]) return here[name](target)
    send(name, value || "", event.shiftKey ? "add" : event.altKey ? "subtract" : "")
  })
  let later
  box.addEventListener("input", event => {
    const target = event.target.closest("input[type=search], input[type=range]")
    if (!target) return
    clearTimeout(later)
    later = setTimeout(() => send(target.dataset.do, target.value), 120)
  })
  box.addEventListener("change", async event => {
    const target = event.target.closest("select, textarea, input[type=file], input[type=text]")
    if (!target?.dataset.do) return
    if (target.type !== "file") return send(target.dataset.do, target.value, target.dataset.value)
    const file = target.files[0]
    const most = Number(target.dataset.most)
    if (file) send(target.dataset.do, file.size > most ? "" : await file.text(), file.name)
    target.value = ""
  })
  box.addEventListener("keydown", event => walk(box, event))
  box.addEventListener("error", explain, true)
  box.addEventListener("pointerdown", event => {
    const chart = event.target.closest("svg[data-do=brush]")
    if (chart) brush(chart, event, send)
  })
  if (model.listens) {
    theme()
    addEventListener("keydown", event => {
      const name = shortcut(event)
      if (!name || !is_ours(event) || is_typing(event) || in_dialog(event)) return
      event.preventDefault()
      if (name === "find-focus") box.querySelector("input[type=search]")?.focus()
      else if (name === "help") box.querySelector("dialog.help")?.showModal()
      else send(name)
    }, { signal })
    let how = ""
    addEventListener("pointerdown", event => {
      const now = event.shiftKey ? (event.ctrlKey ? "subtract" : "add") : event.altKey ? "intersect" : ""
      if (now !== how && event.composedPath().some(e => e.matches?.(".bk-Figure, .bk-Canvas")))
        model.send_msg({ do: "hold", value: how = now, how: "" })
    }, { signal, capture: true })
  }
  model.on("html", draw)
  model.on("current", mark)
  model.on("answered", () => box.classList.remove("waiting"))
  model.on("msg:custom", download)
  model.on("remove", () => ended.abort())
  draw()
  return box
}
