// What a screen reader or weak eyes would miss in the outputs of a notebook: a list of complaints, empty if all is well.
() => {
  const complaints = [];
  const say = (what, element) => complaints.push(`${what}: ${element.outerHTML.slice(0, 160)}`);
  const named = (element) =>
    element.getAttribute("aria-label") || element.title || element.innerText?.trim() ||
    [...(element.labels ?? [])].some((label) => label.innerText.trim());

  // "rgba(…)" → [r, g, b, a]; the colour behind a text is that of its nearest ancestors, laid over one another.
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour : over(colour, behind(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.03928 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };

  for (const output of document.querySelectorAll(".jp-Cell-outputArea")) {
    for (const image of output.querySelectorAll("img, svg")) {
      if (!(image.alt || image.getAttribute("aria-label")) && !image.ariaHidden) say("a picture without words", image);
    }
    for (const field of output.querySelectorAll("button, input, select, textarea, audio")) {
      if (!named(field)) say("a control without a name", field);
    }
    for (const element of output.querySelectorAll("*")) {
      const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
      if (!own || !element.checkVisibility() || element.disabled || element.closest(".katex, mjx-container")) continue;
      const ground = behind(element);
      const text = over(parse(getComputedStyle(element).color), ground);
      const [dark, light] = [luminance(text), luminance(ground)].sort((a, b) => a - b);
      const ratio = (light + 0.05) / (dark + 0.05);
      if (ratio < 4.5) say(`contrast ${ratio.toFixed(2)}, less than 4.5`, element);
    }
  }
  return complaints;
}
