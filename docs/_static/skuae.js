// A click on a figure opens it in its full size: on a phone, labels of wide figures are small.
document.addEventListener("DOMContentLoaded", () => {
  for (const image of document.querySelectorAll(".bd-article img")) {
    if (image.closest("a, .sphx-glr-thumbcontainer")) continue;
    const link = document.createElement("a");
    link.href = image.currentSrc || image.src;
    link.setAttribute("aria-label", "Open the figure in its full size");
    image.replaceWith(link);
    link.append(image);
  }
});
